"""Command lines of the tools: one layout of the help, and the options that many tools have."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..model_zoo import model_names

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


class _ToolParser(argparse.ArgumentParser):
    """Takes the name of a model that comes with the package (``edge``) for its config and its checkpoint at once."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        args = list(sys.argv[1:] if args is None else args)
        wanted = [action.dest for action in self._get_positional_actions()[:2]]
        place = _first_positional(self, args) if wanted == ['config', 'checkpoint'] else None
        name = None if place is None else args[place]
        if name in model_names() and not os.path.isfile(name) and args[place + 1 : place + 2] != [name]:
            args.insert(place, name)
        return super().parse_known_args(args, namespace)


def _first_positional(parser: argparse.ArgumentParser, args: list[str]) -> int | None:
    """Where the first argument is that belongs to no option."""
    place = 0
    while place < len(args):
        text = args[place]
        if text == '--':
            return place + 1 if place + 1 < len(args) else None
        if not text.startswith('-'):
            return place
        place += 1
        name, equals, _ = text.partition('=')
        found = {id(a): a for key, a in parser._option_string_actions.items() if key == name or key.startswith(name)}
        action = next(iter(found.values()), None)
        if action is None or equals:
            continue
        if action.nargs is None:
            place += 1
        elif action.nargs in ('+', '*'):
            while place < len(args) and not args[place].startswith('-'):
                place += 1
    return None


def tool_parser(description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of a tool, whose help keeps the lines of its texts as they are.

    Args:
        description: What the tool does; tools give their ``__doc__``.
        epilog: Examples, exit codes and where to read more.

    Example:
        >>> from mmdet_ir.cli import tool_parser
        >>> parser = tool_parser('Does this.', 'example: python tool.py a.png')
        >>> action = parser.add_argument('image')
        >>> parser.parse_args(['a.png']).image
        'a.png'
    """
    return _ToolParser(description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_cfg_options(parser: argparse.ArgumentParser, example: str = '') -> None:
    """Adds ``--cfg-options KEY=VALUE ...``, parsed as in MMDetection to a dictionary, or ``None``.

    Example:
        >>> from mmdet_ir.cli import add_cfg_options, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_cfg_options(parser)
        >>> parser.parse_args(['--cfg-options', 'model.neck.num_outs=4'])
        Namespace(cfg_options={'model.neck.num_outs': 4})
    """
    text = 'settings over those of the config' + (f', as in {example}' if example else '')
    parser.add_argument('--cfg-options', nargs='+', action=_Settings, metavar='KEY=VALUE', help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``; ``None`` where it is not given.

    Example:
        >>> from mmdet_ir.cli import add_device, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_device(parser)
        >>> parser.parse_args(['--device', 'cuda:1'])
        Namespace(device='cuda:1')
    """
    parser.add_argument('--device', help='e.g. cpu or cuda:1 (default: the GPU if there is one)')


def add_tiles(parser: argparse.ArgumentParser) -> None:
    """Adds ``--tile`` and ``--overlap``.

    Example:
        >>> from mmdet_ir.cli import add_tiles, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_tiles(parser)
        >>> parser.parse_args(['--tile', '640x512'])
        Namespace(tile='640x512', overlap=0.2)
    """
    parser.add_argument(
        '--tile',
        metavar='WIDTHxHEIGHT',
        help='cut large images into tiles such as 640x512, and join the targets that a seam cuts',
    )
    parser.add_argument(
        '--overlap',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='share of a tile that its neighbour sees, too; targets should fit into it (default: %(default)s)',
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments ``config`` and ``checkpoint``, for both of which the name of a model may stand.

    Example:
        >>> from mmdet_ir.cli import add_model, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_model(parser)
        >>> parser.parse_args(['a.py', 'a.pth'])
        Namespace(config='a.py', checkpoint='a.pth')
    """
    names = ', '.join(model_names())
    parser.add_argument(
        'config', help='config file; or, for both, the name of a model of this package' + f' ({names})'
    )
    parser.add_argument('checkpoint', help='checkpoint file or URL')


def add_image_key(parser: argparse.ArgumentParser, purpose: str = 'load') -> None:
    """Adds ``--image-key``, the field of a COCO file's images with the name of the file.

    Example:
        >>> from mmdet_ir.cli import add_image_key, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_image_key(parser)
        >>> parser.parse_args([])
        Namespace(image_key='file_name')
    """
    parser.add_argument(
        '--image-key',
        default='file_name',
        metavar='FIELD',
        help=f'field of the images that names the file to {purpose} (default: %(default)s)',
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Adds ``--launcher``, and ``--local-rank`` as launchers give it, which becomes ``LOCAL_RANK``.

    Example:
        >>> from mmdet_ir.cli import add_launcher, tool_parser
        >>> parser = tool_parser('Does this.')
        >>> add_launcher(parser)
        >>> parser.parse_args(['--launcher', 'pytorch'])
        Namespace(launcher='pytorch')
    """
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='job launcher')
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        action=_LocalRank,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
