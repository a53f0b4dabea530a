"""A benchmark of models and their forms: who is measured against whom, in turns, and what is kept of it."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from types import MappingProxyType

import cv2
import numpy as np
from tqdm import tqdm

from ..apis.inference.inputs import find_sources
from ..cli.choices import EAGER, EXPORTED_FORMS, TORCHVISION
from ..config.options import read_config
from ..datasets.images.files import grey_levels
from ..datasets.images.infrared_io import read_infrared
from ..deploy.backends import ExportedModel
from ..deploy.verify import match
from .subject import make_batch
from .worker import IMAGES, Trial, load_found

_MESSAGE = 300  # characters of an error in the table


@dataclass
class Settings:
    """What is measured.

    Attributes:
        models: Config file, or torchvision's name, -> checkpoint, ``''`` for random weights.
        forms: Of inference.
        files: Exported models to measure beside their config's own forms.
        images: Files, folders or globs; a synthetic scene without any.
        count: Images of them to take, evenly.
        steps: Whether training steps are measured.
        repeats: Timed rounds.
        job: What all processes have in common.
    """

    models: dict[str, str]
    forms: Sequence[str] = (EAGER,)
    files: Sequence[str] = ()
    images: Sequence[str] = ()
    count: int = 4
    steps: bool = True
    repeats: int = 7
    job: Trial = field(default_factory=lambda: Trial('', '', '', ''))

    def __post_init__(self) -> None:
        """Refuses what would fail after minutes.

        Raises:
            ValueError: If there is nothing to compare with, or a file belongs to no model.
            FileNotFoundError: If a config, checkpoint or file is missing.
        """
        if not self.models:
            raise ValueError('benchmark: expected at least one model, got none')
        if self.repeats < 1 or self.count < 1:
            raise ValueError(f'benchmark: expected at least 1 round and image, got {self.repeats} and {self.count}')
        for model, checkpoint in self.models.items():
            if model != TORCHVISION:
                read_config(model)
            elif checkpoint:
                raise ValueError(f'{model}: expected no checkpoint, got {checkpoint}')
            if checkpoint and not Path(checkpoint).is_file():
                raise FileNotFoundError(f'checkpoint of {model}: expected a file, got {checkpoint!r}')
            if checkpoint and not self.images:
                raise ValueError(f'{model}: a checkpoint needs images to look at, got none')
        self.owners = {file: self._owner(file) for file in self.files}

    def _owner(self, file: str) -> str:
        config = ExportedModel(file, 1).meta['config']
        for model, checkpoint in self.models.items():
            if Path(model).name == config and checkpoint:
                return model
        raise ValueError(
            f'{file}: expected the config {config} with a checkpoint among the models, got '
            f'{[f"{model}={checkpoint}" for model, checkpoint in self.models.items()]}'
        )


class Worker:
    """A process of ``benchmark_worker``, to be used as a context: it ends with it.

    Attributes:
        known: What it said when it was ready, ``error`` if it failed.
        seconds: What it measured.
    """

    def __init__(self, job: Trial, log: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        # (an empty text unsets a variable)
        env = {
            name: value for name, value in {**os.environ, **environment}.items() if value or name not in environment
        }
        command = [sys.executable, '-m', 'mmdet_ir.benchmark.worker', job.as_json()]
        with log.open('w') as stderr:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr, text=True, env=env)
        self._log = log
        self.seconds: list[float] = []
        self.known = self._read()

    def __enter__(self) -> 'Worker':
        return self

    def __exit__(self, *args: object) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def alive(self) -> bool:
        return 'error' not in self.known

    def measure(self) -> None:
        """Lets it measure once, and waits."""
        try:
            self._process.stdin.write('\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # (what it said last tells why)
        answer = self._read()
        if 'error' in answer:
            self.known['error'] = answer['error']
        else:
            self.seconds.append(answer['seconds'])

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            answer = json.loads(line)
            if 'error' in answer:
                answer['error'] = re.sub(r'\s+', ' ', answer['error'])[:_MESSAGE]
            return answer
        last = self._log.read_text(errors='replace').strip().splitlines()[-1:] or ['']
        return {'error': f'ended with code {self._process.wait()}: {last[0]}'[:_MESSAGE]}


def run_benchmark(settings: Settings, keep: Callable[[dict], None] = lambda result: None) -> dict:
    """Measures.

    Of each model all forms take turns, together with the first model's eager form, to which ratios refer; so whatever
    else the machine does meets all alike. So do the training steps of all models.

    Args:
        settings: See there.
        keep: Is given the result so far after every part.

    Returns:
        ``products``: type -> ``seconds`` and ``rate`` (operations a second) of matrix products; ``inference`` and
        ``step``: rows with ``model``, ``form``, and either ``error`` or ``seconds`` (median; of one image), ``ratio``
        to the first model (eager), ``memory`` (MiB), ``rate`` and ``share`` of the products' rate; inference rows have
        ``own_ratio`` to the model's own eager form, ``note``, and what :func:`compare` says. ``prepared``: score
        threshold and ``operations`` of each model.
    """
    result: dict = {'products': {}, 'prepared': {}, 'inference': [], 'step': []}
    models, forms = len(settings.models), dict.fromkeys((EAGER, *settings.forms))
    jobs = models * (len(forms) + 1 + settings.steps) - 1 + len(settings.files)  # (the first is its own reference)
    total = 1 + models * (1 + len(set(forms) & set(EXPORTED_FORMS))) + jobs * (settings.repeats + 1)
    with tempfile.TemporaryDirectory() as name, tqdm(total=total, unit='measurement', smoothing=0.1) as progress:
        bench = _Bench(settings, Path(name), progress)
        result['products'] = bench.products()
        keep(result)
        result['prepared'] = bench.prepare()
        for model in settings.models:
            result['inference'] += bench.inference(model, result)
            keep(result)
        if settings.steps:
            result['step'] = bench.steps(result)
            keep(result)
    return result


def compare(expected: list[dict], got: list[dict]) -> dict:
    """Detections of a form beside those of the eager form, image by image.

    Returns:
        ``expected`` and ``detections``: how many each has; ``matched``: how many are paired, see ``match``; of the
        pairs the largest difference of a box coordinate (``box``, pixels) and of a score, and the mean IoU of
        their masks (``mask``; ``None`` without pairs).
    """
    ious = []
    row = {'expected': 0, 'detections': 0, 'matched': 0, 'box': 0.0, 'score': 0.0}
    for first, second in zip(expected, got, strict=True):
        row['expected'] += len(first['boxes'])
        row['detections'] += len(second['boxes'])
        for i, j in match(first, second):
            row['matched'] += 1
            row['box'] = max(row['box'], float(np.abs(first['boxes'][i] - second['boxes'][j]).max()))
            row['score'] = max(row['score'], float(abs(first['scores'][i] - second['scores'][j])))
            union = np.logical_or(first['masks'][i], second['masks'][j]).sum()
            ious.append(np.logical_and(first['masks'][i], second['masks'][j]).sum() / union if union else 1.0)
    return row | {'mask': float(np.mean(ious)) if ious else None}


def read_images(settings: Settings) -> np.ndarray:
    """The grey images ``[N, H, W]`` to look at, of the size that is measured.

    Raises:
        FileNotFoundError: If an input is not there.
        ValueError: If a file is no image.
    """
    job = settings.job
    if not settings.images:
        return make_batch(job.size, 1, job.seed)['inputs'][0][:1].numpy()
    files = [file for source in find_sources(settings.images, '.benchmark') for file in source.files]
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(settings.count, len(files))).round().astype(int)]
    images = []
    for file in chosen:
        image = grey_levels(read_infrared(file))
        images.append(cv2.resize(image, job.size, interpolation=cv2.INTER_LINEAR))
    return np.stack(images)


class _Bench:
    """The parts of a run, in a temporary folder with one folder for each model."""

    def __init__(self, settings: Settings, folder: Path, progress: tqdm) -> None:
        self.settings = settings
        self.folder = folder
        self.progress = progress
        self.started = 0
        self.images = read_images(settings)
        np.save(folder / IMAGES, self.images)
        self.folders = {model: folder / str(i) for i, model in enumerate(settings.models)}
        for path in self.folders.values():
            path.mkdir()

    def products(self) -> dict[str, dict]:
        with self._worker(replace(self._job('product', '', ''), repeats=self.settings.repeats)) as worker:
            self.progress.update()
            if not worker.alive:
                raise RuntimeError(f'matrix products: {worker.known["error"]}')
            return {name: value for name, value in worker.known.items() if name != 'memory'}

    def prepare(self) -> dict[str, dict]:
        prepared = {}
        for model in self.settings.models:
            with self._worker(self._job('prepare', model, EAGER)) as worker:
                prepared[model] = worker.known
            self.progress.update()
        return prepared

    def inference(self, model: str, result: dict) -> list[dict]:
        settings, first = self.settings, next(iter(self.settings.models))
        if 'error' in result['prepared'][model]:
            return [{'model': model, 'form': EAGER, 'error': result['prepared'][model]['error']}]
        rows, jobs = [], {}
        if model != first:
            jobs['reference'] = self._job('inference', first, EAGER)
        for form in dict.fromkeys((EAGER, *settings.forms)):
            job = self._job('inference', model, form)
            if form in EXPORTED_FORMS:
                with self._worker(replace(job, task='export')) as worker:
                    known = worker.known
                self.progress.update()
                if 'error' in known:
                    rows.append({'model': model, 'form': form, 'error': known['error']})
                    continue
                job = replace(job, file=known['file'])
            jobs[form] = job
        for file, owner in settings.owners.items():
            if owner == model:
                name = f'file {Path(file).name}'
                jobs[name] = replace(self._job('inference', model, name), file=str(Path(file).resolve()))
        with self._workers(jobs) as workers:
            eager = workers[EAGER]
            alive = [name for name, worker in workers.items() if worker.alive and eager.alive]
            compared = {name: self._compare(jobs[name], model) for name in alive}
            self._take_turns(workers)
        reference = workers.get('reference', eager)
        for name, worker in workers.items():
            if name == 'reference':
                continue
            row = {'model': model, 'form': name, **self._measured(worker, len(self.images))}
            if worker.alive:
                row |= self._ratios(worker, reference, eager) | compared.get(name, {}) | {'note': worker.known['note']}
                operations = result['prepared'][model]['operations'] * len(self.images)
                row |= self._rate(worker, operations, result['products'].get(worker.known['precision']))
            rows.append(row)
        return rows

    def steps(self, result: dict) -> list[dict]:
        jobs = {model: self._job('step', model, EAGER) for model in self.settings.models}
        with self._workers(jobs) as workers:
            self._take_turns(workers)
        reference, rows = next(iter(workers.values())), []
        for model, worker in workers.items():
            row = {'model': model, 'form': EAGER, **self._measured(worker)}
            if worker.alive:
                row |= self._ratios(worker, reference, worker)
                row |= self._rate(worker, worker.known['operations'], result['products']['float32'])
            rows.append(row)
        return rows

    def _job(self, task: str, model: str, form: str) -> Trial:
        folder, checkpoint = self.folders.get(model, self.folder), self.settings.models.get(model, '')
        return replace(self.settings.job, task=task, model=model, form=form, folder=str(folder), checkpoint=checkpoint)

    def _worker(self, job: Trial) -> Worker:
        self.progress.set_description(f'{job.task} {Path(job.model).stem} {job.form}')
        self.started += 1
        return Worker(job, self.folder / f'{self.started}.log')

    @contextmanager
    def _workers(self, jobs: dict[str, Trial]) -> Iterator[dict[str, Worker]]:
        with ExitStack() as stack:
            workers = {}
            for name, job in jobs.items():
                workers[name] = stack.enter_context(self._worker(job))
                self.progress.update()
            yield workers

    def _take_turns(self, workers: dict[str, Worker]) -> None:
        for round_ in range(self.settings.repeats):
            for name, worker in workers.items():
                self.progress.set_description(f'round {round_ + 1} of {self.settings.repeats}, {name}')
                if worker.alive:
                    worker.measure()
                self.progress.update()

    def _compare(self, job: Trial, model: str) -> dict:
        folder, width = self.folders[model], self.settings.job.size[0]
        expected = load_found(folder / f'{EAGER}.npz', width)
        return compare(expected, load_found(Path(job.folder) / f'{job.form}.npz', width))

    @staticmethod
    def _measured(worker: Worker, images: int = 1) -> dict:
        if not worker.alive:
            return {'error': worker.known['error']}
        return {'seconds': median(worker.seconds) / images, 'memory': worker.known['memory']}

    @staticmethod
    def _ratios(worker: Worker, reference: Worker, own: Worker) -> dict:
        def ratio(other: Worker) -> float | None:
            return median(worker.seconds) / median(other.seconds) if other.alive else None

        return {'ratio': ratio(reference), 'own_ratio': ratio(own)}

    @staticmethod
    def _rate(worker: Worker, operations: float, product: dict | None = None) -> dict:
        if not worker.alive:
            return {}
        rate = operations / median(worker.seconds)
        return {'rate': rate, 'share': rate / product['rate'] if product and 'rate' in product else None}
