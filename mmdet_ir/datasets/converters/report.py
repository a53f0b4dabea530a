"""What a conversion read, wrote, changed and left out."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class ConversionReport:
    """Counts of a conversion. ``str(report)`` is the text for the user.

    Attributes:
        read: Objects of the source, by the source's class name.
        written: Instances written, by split and class.
        ignored: Ignored regions written (``iscrowd`` = 1), by split and class.
        images: Images written, by split.
        methods: Derived masks written, by class and method.
        clipped: Boxes that reached beyond their image and were cut.
        dropped: Objects left out, by reason.
        skipped: Files left out, each with the reason.
        notes: Other remarks.
    """

    read: Counter = field(default_factory=Counter)
    written: dict[str, Counter] = field(default_factory=lambda: {'train': Counter(), 'val': Counter()})
    ignored: dict[str, Counter] = field(default_factory=lambda: {'train': Counter(), 'val': Counter()})
    images: Counter = field(default_factory=Counter)
    methods: Counter = field(default_factory=Counter)
    clipped: int = 0
    dropped: Counter = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'read:    {_counts(self.read)}']
        for split, counts in self.written.items():
            ignored = f'; ignored regions: {_counts(self.ignored[split])}' if self.ignored[split] else ''
            lines.append(f'{split + ":":8} {self.images[split]} images; {_counts(counts)}{ignored}')
        lines.append(f'masks:   {_counts(Counter({" ".join(key): n for key, n in self.methods.items()}))}')
        lines.append(f'boxes:   {self.clipped} cut to the image, {self.dropped.total()} dropped')
        lines += [f'  dropped, {reason}: {n}' for reason, n in self.dropped.items()]
        lines += self.notes
        if self.skipped:
            lines += [f'skipped {len(self.skipped)} files:', *(f'  {entry}' for entry in self.skipped)]
        return '\n'.join(lines)


def _counts(counts: Counter) -> str:
    return ', '.join(f'{name} {n}' for name, n in sorted(counts.items())) or 'nothing'
