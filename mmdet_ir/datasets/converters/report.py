"""What a conversion read, wrote, changed and left out."""

from collections import Counter
from dataclasses import dataclass, field

from .class_names import FOUR, FOUR_CLASSES

EXAMPLES = 3  # entries named for each reason


@dataclass
class ConversionReport:
    """Counts of a conversion. ``str(report)`` is the text for the user.

    Attributes:
        read: Objects of the source, by the source's class name.
        written: Instances written, by split and class.
        ignored: Ignored regions written (``iscrowd`` = 1), by split and class.
        images: Images written, by split.
        methods: Derived masks written, by class and method.
        annotated: Masks of the source written, by class.
        boxes_only: Instances written without a mask, by class.
        clipped: Boxes that reached beyond their image and were cut.
        unmapped: Objects left out because their class is not asked for, by the source's class name.
        own_names: Whether the user asked for no classes, so that the source's own names are the classes.
        became: The class that a source's class became.
        dropped: Objects left out, by reason.
        examples: The first entries of each of these reasons.
        skipped: Files left out, each with the reason.
        notes: Other remarks.
        by_values: Whether the user names the numbers of the source (``--values``); others are named ``(5)``.

    Example:
        >>> from mmdet_ir.datasets.converters import ConversionReport
        >>> ConversionReport().skipped
        []
    """

    read: Counter = field(default_factory=Counter)
    written: dict[str, Counter] = field(default_factory=lambda: {'train': Counter(), 'val': Counter()})
    ignored: dict[str, Counter] = field(default_factory=lambda: {'train': Counter(), 'val': Counter()})
    images: Counter = field(default_factory=Counter)
    methods: Counter = field(default_factory=Counter)
    annotated: Counter = field(default_factory=Counter)
    boxes_only: Counter = field(default_factory=Counter)
    clipped: int = 0
    unmapped: Counter = field(default_factory=Counter)
    own_names: bool = False
    became: dict[str, str] = field(default_factory=dict)
    dropped: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    by_values: bool = False

    def drop(self, name: str, reason: str, where: str) -> None:
        """Count an object of class ``name`` (the source's) that is left out."""
        key = f'{name}: {reason}'
        self.dropped[key] += 1
        entries = self.examples.setdefault(key, [])
        if len(entries) < EXAMPLES:
            entries.append(where)

    def add_split(self, split: str) -> None:
        """Make room for the counts of a split."""
        self.written.setdefault(split, Counter())
        self.ignored.setdefault(split, Counter())

    @property
    def remedy(self) -> str:
        """What the user can do about classes that are left out."""
        names = [name for name in self.unmapped if self.by_values and name[0] + name[-1] == '()']
        numbers = [int(name[1:-1]) for name in names if name[1:-1].isdecimal()]
        if not numbers:
            return 'name those to take with --classes, such as human=person,pedestrian'
        text = 'name the numbers to take with --values, such as 1=person; (5) stands for the number 5'
        if any(number % 17 for number in numbers):
            return text
        return f'{text}. Grey PNG files of 2 or 4 bits are often scaled to 8 bits: 1 becomes 85 or 17'

    @property
    def lost(self) -> bool:
        """Whether something was left out that the user did not ask to leave out."""
        return bool(self.dropped or self.skipped or (self.own_names and self.unmapped))

    def __str__(self) -> str:
        lines = [f'read:    {_counts(self.read)}']
        if self.became:
            names = ', '.join(f'{name} -> {target}' for name, target in sorted(self.became.items()))
            lines.append(f'classes: {names}')
        if self.own_names and any(FOUR_CLASSES.get(name.casefold(), name) != name for name in self.became):
            lines.append(f"         (the source's own names; --classes {FOUR} writes human, car, bicycle and uav)")
        if self.unmapped:
            option = '' if self.by_values else ' (--classes)'
            lines.append(f'left out, no class for them{option}: {_counts(self.unmapped)}')
            lines += [f'         ({self.remedy})'] if self.by_values else []
        for split, counts in self.written.items():
            if self.images[split]:
                ignored = f'; ignored regions: {_counts(self.ignored[split])}' if self.ignored[split] else ''
                lines.append(f'{split + ":":8} {self.images[split]} images; {_counts(counts)}{ignored}')
        if self.annotated:
            lines.append(f'masks:   annotated: {_counts(self.annotated)}')
        if self.methods or not (self.annotated or self.boxes_only):
            lines.append(f'masks:   {_counts(Counter({" ".join(key): n for key, n in self.methods.items()}))}')
        if self.boxes_only:
            lines.append(f'no mask: {_counts(self.boxes_only)} (boxes only; --derive-masks makes masks for them)')
        lines.append(f'boxes:   {self.clipped} cut to the image, {self.dropped.total()} dropped')
        for reason, n in self.dropped.items():
            lines.append(f'  dropped, {reason}: {n}')
            lines += [f'    {entry}' for entry in self.examples.get(reason, [])]
        lines += self.notes
        if self.skipped:
            lines += [f'skipped {len(self.skipped)} files:', *(f'  {entry}' for entry in self.skipped)]
        return '\n'.join(lines)


def _counts(counts: Counter) -> str:
    return ', '.join(f'{name} {n}' for name, n in sorted(counts.items())) or 'nothing'
