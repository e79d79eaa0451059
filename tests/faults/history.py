"""What writers of one memory were told, against what must then be so: one version came after another."""

from __future__ import annotations

from dataclasses import dataclass, field

from memplane import Memory, WriteResult


@dataclass(frozen=True, slots=True)
class Link:
    """An acknowledged write under if_match."""

    replaced: str
    """The etag that it named."""
    etag: str
    revision: int
    mark: str
    """What it appended."""


@dataclass(slots=True)
class History:
    """The acknowledged writes of one memory, in any order."""

    first: WriteResult
    links: list[Link] = field(default_factory=list)

    def acknowledge(self, replaced: str, result: WriteResult, mark: str) -> None:
        """A write took effect."""
        self.links.append(Link(replaced, result.etag, result.revision, mark))

    def chain(self, last: Memory) -> list[Link]:
        """All of them, from the first version to the last. Fails where they are no chain."""
        after = {link.replaced: link for link in self.links}
        assert len(after) == len(self.links), "a version was replaced twice"
        assert len({link.etag for link in self.links}) == len(self.links), "an etag came twice"
        chain: list[Link] = []
        etag, revision = self.first.etag, self.first.revision
        while etag in after:
            link = after.pop(etag)
            assert link.revision > revision, f"{link} comes after revision {revision}"
            chain.append(link)
            etag, revision = link.etag, link.revision
        assert not after, f"writes over versions that never were: {list(after.values())[:5]}"
        assert (etag, revision) == (last.etag, last.revision), "another write came last"
        return chain
