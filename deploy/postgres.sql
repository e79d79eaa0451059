-- Run once by the image, by its superuser, when the volume is empty. The gateway logs in as a role that is
-- none: row-level security, which keeps tenants apart, does not hold a superuser.
\getenv password POSTGRES_PASSWORD
CREATE ROLE memplane LOGIN PASSWORD :'password';
CREATE DATABASE memplane OWNER memplane;
\connect memplane
CREATE EXTENSION vector;
