"""Which job or which elements of an array somebody means: `sim`, `sim.7`, `sim[7]`, `sim[-1]`, `sim[10:20]`, `sim[::2]` (decision 21)."""

from __future__ import annotations

from copilot.errors import BadName, UnknownJob
from copilot.job import check_job_id, element_id
from copilot.patterns import pattern
from copilot.records import dataclass
from copilot.store.arrays import ArrayRecord, Slice
from copilot.store.base import Store

_PART = pattern(r"(?P<id>[^\[\]]*)\[(?P<part>[^\[\]]*)\]\Z")
_NUMBER = pattern(r"-?[0-9]{1,7}\Z")
EXPECTED = "expected the id of a job, or elements of an array like sim[7], sim[-1], sim[10:20] or sim[::2]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was written, the id in it, and the numbers in its brackets: one for an element, a slice as Python has it, None for no brackets."""

    text: str
    id: str
    part: int | slice | None = None

    @property
    def job(self) -> str | None:
        """The id of the one job that is meant, if that can be said without a look at the array."""
        if self.part is None:
            return self.id
        return element_id(self.id, self.part) if isinstance(self.part, int) and self.part >= 0 else None

    def within(self, size: int) -> Slice:
        """The elements of an array of so many. Slices end where the array does, as in Python. Raises `BadName` for an element that there
        is not."""
        if isinstance(self.part, int):
            if not -size <= self.part < size:
                raise BadName(f"{self.text}: {self.id} has {size} elements: expected {-size} to {size - 1}")
            return Slice(begin=self.part % size, end=self.part % size + 1)
        begin, end, step = (self.part or slice(None)).indices(size)
        return Slice(begin=begin, end=max(begin, end), step=step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Elements of an array that is known. `text`: as it was written."""

    text: str
    array: ArrayRecord
    slice: Slice

    @property
    def ids(self) -> range:
        """The numbers of its elements."""
        return range(self.slice.begin, min(self.slice.end, self.array.spec.array), self.slice.step)


def read_selection(text: str) -> Selection:
    """Raises `BadName`."""
    match = _PART.match(text)
    if match is None:
        if "[" in text or "]" in text:
            raise BadName(f"{text[:140]!r}: {EXPECTED}")
        return Selection(text=text, id=check_job_id(text, submitted=True))
    numbers = match["part"].split(":")
    if len(numbers) > 3 or (len(numbers) == 1 and not numbers[0]):
        raise BadName(f"{text[:140]!r}: {EXPECTED}")
    for number in numbers:
        if number and not _NUMBER.match(number):
            raise BadName(f"{text[:140]!r}: {number[:20]!r} is no whole number: {EXPECTED}")
    read = [int(number) if number else None for number in numbers]
    ident = check_job_id(match["id"], submitted=True)
    if len(read) == 1:
        return Selection(text=text, id=ident, part=read[0])
    if len(read) == 3 and read[2] is not None and read[2] < 1:
        raise BadName(f"{text[:140]!r}: expected a step from 1")
    return Selection(text=text, id=ident, part=slice(*read))


async def resolve(store: Store, selection: Selection) -> str | Part:
    """The one job that is meant, or the elements. Raises `BadName`, `UnknownJob` for elements of what is no array."""
    if selection.part is not None and selection.job is not None:
        return selection.job
    array = await store.array(selection.id)
    if array is not None:
        part = Part(text=selection.text, array=array, slice=selection.within(array.spec.array))
        return element_id(selection.id, part.slice.begin) if isinstance(selection.part, int) else part
    if selection.job is not None:
        return selection.job
    raise no_array(selection)


async def one_job(store: Store, selection: Selection) -> str:
    """The id of the one job, or array, that is meant. Raises as `resolve`, and `BadName` for several elements."""
    if selection.job is not None:
        return selection.job
    found = await resolve(store, selection)
    if isinstance(found, str):
        return found
    if len(found.ids) != 1:
        raise BadName(f"{selection.text}: {len(found.ids)} elements; expected one, like {selection.id}[0]")
    return element_id(selection.id, found.ids[0])


async def each_job(store: Store, selection: Selection, *, most: int) -> list[str]:
    """The ids of all jobs that are meant, an array in whole as one. Raises as `resolve`, and `BadName` for more than `most` elements."""
    if selection.job is not None:
        return [selection.job]
    found = await resolve(store, selection)
    if isinstance(found, str):
        return [found]
    if len(found.ids) > most:
        raise BadName(
            f"{selection.text}: {len(found.ids):,} elements; expected at most {most:,}: choose a smaller slice, or all by {selection.id}"
        )
    return [element_id(selection.id, index) for index in found.ids]


def no_array(selection: Selection) -> UnknownJob:
    """The error for elements of what nobody knows as an array."""
    return UnknownJob(
        f"{selection.text}: {selection.id} is no array that is known: look for a typing error; records of old jobs are removed"
    )
