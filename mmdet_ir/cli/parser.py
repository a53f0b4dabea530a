"""Command lines of the tools: one layout of the help, and the options that many tools have."""

import argparse
import os
from typing import Any

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


class _Settings(argparse.Action):
    """mmengine's ``DictAction``, which is imported only when a setting is given: it takes seconds."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        wrong = next((text for text in values if '=' not in text or text.startswith('=')), None)
        if wrong is not None:
            parser.error(f'{option_string}: expected KEY=VALUE, got {wrong!r}')
        DictAction(self.option_strings, self.dest)(parser, namespace, values, option_string)


class _LocalRank(argparse.Action):
    """Puts the number that a launcher gives each process where mmengine looks for it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        os.environ.setdefault('LOCAL_RANK', str(values))


def tool_parser(description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of a tool, whose help keeps the lines of its texts as they are.

    Args:
        description: What the tool does; tools give their ``__doc__``.
        epilog: Examples, exit codes and where to read more.
    """
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_cfg_options(parser: argparse.ArgumentParser, example: str = '') -> None:
    """Adds ``--cfg-options KEY=VALUE ...``, parsed as in MMDetection to a dictionary, or ``None``."""
    text = 'settings over those of the config' + (f', as in {example}' if example else '')
    parser.add_argument('--cfg-options', nargs='+', action=_Settings, metavar='KEY=VALUE', help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``; ``None`` where it is not given."""
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments ``config`` and ``checkpoint``."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file or URL')


def add_image_key(parser: argparse.ArgumentParser, purpose: str = 'load') -> None:
    """Adds ``--image-key``, the field of a COCO file's images with the name of the file."""
    parser.add_argument(
        '--image-key',
        default='file_name',
        metavar='FIELD',
        help=f'field of the images that names the file to {purpose} (default: %(default)s)',
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Adds ``--launcher``, and ``--local-rank`` as launchers give it, which becomes ``LOCAL_RANK``."""
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='job launcher')
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        action=_LocalRank,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
