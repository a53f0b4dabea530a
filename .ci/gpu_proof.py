"""Runs the parts of the proof on a GPU, each in a process of its own, and writes one report; see .ci/gpu."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = 'configs/quickstart/mask_rcnn{}_{}.py'
PARTS = {  # name -> seconds at most, on a GPU
    'doctor': 45,
    'tests': 130,
    'resume': 90,
    'speed': 120,
    'compile': 100,
    'loading': 45,
    'training': 200,
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='folder of the report')
    parser.add_argument('--cpu', action='store_true', help='rehearse everything on the CPU, at tiny size')
    parser.add_argument('--data', type=Path, help='COCO folder to train on (default: synthetic scenes)')
    parser.add_argument('--minutes', type=float, default=9, help='for everything on a GPU (default: %(default)s)')
    parser.add_argument(
        '--only', nargs='+', choices=PARTS, default=list(PARTS), metavar='PART', help='these parts; those in OUT stay'
    )
    parser.add_argument('--measure', choices=('speed', 'compile', 'loading'), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """A part that measures, in this process; its result so far is written after each step."""
    from mmdet_ir.benchmark import gpu
    from mmdet_ir.fileio import write_text

    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    MMLogger.get_current_instance().setLevel('WARNING')  # or each parameter's initialisation is printed
    device, path = 'cpu' if args.cpu else 'cuda', args.out / f'{args.measure}.json'

    def keep(result: object) -> None:
        write_text(path, json.dumps(result))

    if args.cpu:  # the small models stand for the large ones
        models = tuple(SMALL.format(parts, 'synthetic') for parts in ('', '_bnsa_focalsiou_mbcedicels'))
        size, batches, repeats, full = (96, 64), (1, 2), 1, models[1]
    else:
        models, size, batches, repeats, full = (gpu.STOCK, gpu.FULL), (640, 512), (2, 8, 16), 10, gpu.FULL
    if args.measure == 'speed':
        gpu.compare_models(size, batches, device, repeats, keep, models)
    elif args.measure == 'compile':
        keep(gpu.compare_compiled(size, batches[1], device, repeats, full))
    else:
        workers = 0 if args.cpu else min(16, os.cpu_count() or 1)
        rate = gpu.loading_rate(str(args.data), workers, batches[1], 1 if args.cpu else 10)
        keep({'images_per_second': rate, 'workers': workers, 'batch': batches[1]})
    if device == 'cuda':
        torch.cuda.synchronize()


class Proof:
    """The parts and what came of them.

    Args:
        args: Of the command line.
        folder: For what is not kept.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder
        self.began = time.monotonic()
        self.report: dict = {'device': 'cpu (rehearsal)' if args.cpu else 'cuda', 'parts': {}}
        earlier = args.out / 'report.json'
        if len(args.only) < len(PARTS) and earlier.is_file():
            known = json.loads(earlier.read_text())
            self.report['parts'] = known['parts'] if known['device'] == self.report['device'] else {}
        self.env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
        if args.cpu:
            self.env |= {'CUDA_VISIBLE_DEVICES': '-1', 'MMDET_IR_GPU_TESTS': 'cpu'}
        self.data = args.data

    def run(self) -> bool:
        for name in self.args.only:
            began, part = time.monotonic(), {}
            self.limit = PARTS[name] * (20 if self.args.cpu else 1)
            if not self.args.cpu:
                self.limit = min(self.limit, self.args.minutes * 60 - (began - self.began))
            if self.limit < 5:
                part = {'passed': False, 'error': 'no time was left'}
            else:
                try:
                    part = getattr(self, name)()
                except subprocess.TimeoutExpired:
                    part = {'passed': False, 'error': f'cut off after {self.limit:.0f} s'} | self.kept(name)
                except (OSError, ValueError, LookupError, RuntimeError) as error:
                    part = {'passed': False, 'error': f'{type(error).__name__}: {error}'} | self.kept(name)
            part['took'] = round(time.monotonic() - began, 1)
            self.report['parts'][name] = part
            self.report['minutes'] = round((time.monotonic() - self.began) / 60, 2)
            self.write()
            print(f'{name}: {"passed" if part["passed"] else "FAILED"} in {part["took"]} s', flush=True)
        return all(self.report['parts'][name]['passed'] for name in self.args.only)

    def call(self, *command: object, expect: bool = True) -> str:
        """Runs a command of this Python within the part's limit; its output goes into logs.txt, too."""
        command = [sys.executable, *map(str, command)]
        began = time.monotonic()
        with (self.args.out / 'logs.txt').open('a') as log, tempfile.TemporaryFile('w+') as output:
            log.write(f'\n$ {" ".join(command[1:])}\n')
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env=self.env, stdout=output, stderr=subprocess.STDOUT, timeout=self.limit
                )
            finally:
                output.seek(0)
                text = output.read()
                log.write(text[-200_000:])
        self.limit -= time.monotonic() - began
        if expect and done.returncode:
            raise RuntimeError(f'{Path(command[1]).name} ended with {done.returncode}: {text.strip()[-300:]}')
        return text

    def kept(self, name: str) -> dict:
        path = self.folder / f'{name}.json'
        return {'result': json.loads(path.read_text())} if path.is_file() else {}

    def doctor(self) -> dict:
        text = self.call('tools/doctor.py', '--json', expect=False)
        found = json.loads(text[text.index('{\n') :])
        return {'passed': not found['problems'] and (self.args.cpu or 'cuda:0' in found['devices']), 'result': found}

    def tests(self) -> dict:
        files = ['tests/test_gpu', 'tests/test_deploy/test_devices.py']
        text = self.call('-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', 'gpu', *files, expect=False)
        closing = next((line for line in reversed(text.splitlines()) if ' passed' in line or ' failed' in line), '')
        failed = re.findall(r'^(?:FAILED|ERROR) (\S+)', text, flags=re.MULTILINE)
        passed = ' passed' in closing and not failed
        return {'passed': passed, 'result': {'closing': closing.strip('= '), 'failed': failed}}

    def resume(self) -> dict:
        """Bitwise, with --deterministic and --amp."""
        out = self.folder / 'resume'
        command = ['tools/stress/kill_resume.py', '--kills', '1', '--stops', '1', '--loops', 'epochs-amp']
        self.call(*command, '--out', out)  # (its exit code tells whether every bit is the same)
        rows = [line for line in (out / 'table.md').read_text().splitlines() if line.startswith('|')]
        return {'passed': True, 'result': {'table': rows}}

    def speed(self) -> dict:
        self.measured('speed')
        rows = self.kept('speed')['result']
        return {'passed': all('error' not in row for row in rows), 'result': rows}

    def compile(self) -> dict:
        self.measured('compile')
        return {'passed': True} | self.kept('compile')

    def loading(self) -> dict:
        self.scenes()
        self.measured('loading', '--data', self.data)
        result = self.kept('loading')['result']
        steps = [row for row in self.report['parts'].get('speed', {}).get('result', []) if row['what'] == 'step']
        needed = max((row['batch'] / row['seconds'][1] for row in steps if 'seconds' in row), default=None)
        return {
            'passed': needed is None or self.args.cpu or result['images_per_second'] >= needed,
            'result': {**result, 'needed': needed},
        }

    def training(self) -> dict:
        self.scenes()
        kind, result = 'real' if self.args.data else 'synthetic', {}
        for name, parts in (('Mask R-CNN', ''), ('full method', '_bnsa_focalsiou_mbcedicels')):
            work_dir, began = self.folder / name.replace(' ', '_'), time.monotonic()
            options = [f'{loader}_dataloader.dataset.data_root={self.data}/' for loader in ('train', 'val', 'test')]
            options += [f'{use}_evaluator.ann_file={self.data}/annotations/val.json' for use in ('val', 'test')]
            options += ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'] if self.args.cpu else []
            config = SMALL.format(parts, kind)
            self.call(
                'tools/train.py', config, '--work-dir', work_dir, '--amp', '--seed', 0, '--cfg-options', *options
            )
            newest = max(work_dir.rglob('metrics_val*.json'), key=lambda path: path.stat().st_mtime)
            found = json.loads(newest.read_text())['metrics']
            result[name] = {
                f'{key} {column}': found[key]['all'][column] for key in found for column in ('mAP', 'mAP50')
            }
            result[name]['seconds'] = round(time.monotonic() - began, 1)
        return {'passed': all(values['segm mAP50'] > (-2 if self.args.cpu else 0.2) for values in result.values())} | {
            'result': result
        }

    def measured(self, name: str, *more: object) -> None:
        options = ['--cpu'] if self.args.cpu else []
        self.call(Path(__file__).resolve(), self.folder, '--measure', name, *options, *more)

    def scenes(self) -> None:
        """Synthetic scenes, made once, where no data were given."""
        if self.data is not None:
            return
        counts = ['--train', 16, '--val', 4] if self.args.cpu else ['--train', 800, '--val', 150]
        self.call('tools/data/synthesize.py', self.folder / 'scenes', *counts, '--size', 320, 256, '--seed', 0)
        self.data = self.folder / 'scenes'

    def write(self) -> None:
        (self.args.out / 'report.json').write_text(json.dumps(self.report, indent=1) + '\n')
        (self.args.out / 'report.md').write_text(render(self.report))


def render(report: dict) -> str:
    """The report in Markdown."""
    lines = ['# Proof on a GPU', '', f'Device: {report["device"]}; {report["minutes"]} minutes.', '']
    lines += ['| part | | seconds |', '|---|---|---:|']
    for name, part in report['parts'].items():
        said = 'passed' if part['passed'] else f'**failed** {part.get("error", "")}'.strip()
        lines.append(f'| {name} | {said} | {part["took"]} |')
    for name, part in report['parts'].items():
        if 'result' in part:
            shown: Callable[[object], list[str]] = globals().get(f'show_{name}', show_plain)
            lines += ['', f'## {name.capitalize()}', '', *shown(part['result'])]
    return '\n'.join(lines) + '\n'


def show_plain(result: dict) -> list[str]:
    return [f'- {key}: {value}' for key, value in result.items()]


def show_doctor(found: dict) -> list[str]:
    lines = [f'- {key}: {value}' for key, value in found['versions'].items()]
    lines += [f'- {name}: {facts}' for name, facts in found['devices'].items()]
    return lines + [f'- problem: {entry["problem"]}' for entry in found['problems']]


def show_resume(result: dict) -> list[str]:
    return result['table']


def show_speed(rows: list[dict]) -> list[str]:
    lines = [
        'Full method beside stock Mask R-CNN; the goal is at most 1.10 (step), 1.06 (inference), 1.10 (memory).',
        '',
    ]
    lines += ['| | precision | images | Mask R-CNN, ms | full, ms | ratio | memory, MiB | ratio | goals |']
    lines += ['|---|---|---:|---:|---:|---:|---:|---:|---|']
    for row in rows:
        head = f'| {row["what"]} | {row["precision"]} | {row["batch"]} |'
        if 'error' in row:
            lines.append(f'{head} {row["error"]} | | | | | |')
            continue
        first, second = (f'{1000 * seconds:.1f}' for seconds in row['seconds'])
        memory = ' / '.join(f'{value:.0f}' for value in row.get('memory', ())) or '-'
        ratio = f'{row["memory_ratio"]:.3f}' if 'memory_ratio' in row else '-'
        met = 'met' if row['met'] else 'not met'
        lines.append(f'{head} {first} | {second} | {row["ratio"]:.3f} | {memory} | {ratio} | {met} |')
    return lines


def show_compile(result: dict) -> list[str]:
    lines = ['| | eager, ms | compiled parts, ms | ratio | first call, s |', '|---|---:|---:|---:|---:|']
    for what, row in result.items():
        first, second = (f'{1000 * seconds:.1f}' for seconds in row['seconds'])
        lines.append(f'| {what} | {first} | {second} | {row["ratio"]:.3f} | {row["first"]:.1f} |')
    return lines


def show_training(result: dict) -> list[str]:
    columns = list(next(iter(result.values())))
    lines = [f'| | {" | ".join(columns)} |', '|---|' + '---:|' * len(columns)]
    for name, row in result.items():
        lines.append(f'| {name} | {" | ".join(f"{row[column]:.3f}" for column in columns)} |')
    return lines


def main() -> None:
    args = parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    args.data = args.data.resolve() if args.data else None
    if args.measure:
        measure(args)
        return
    if args.data and not (args.data / 'annotations' / 'train.json').is_file():
        sys.exit(f'error: --data: expected a folder with annotations/train.json and val.json, got {args.data}')
    if len(args.only) == len(PARTS):
        (args.out / 'logs.txt').write_text('')
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not Proof(args, Path(folder)).run())


if __name__ == '__main__':
    main()
