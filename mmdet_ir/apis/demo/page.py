"""The demo page: upload an infrared image, look at what a model finds, take it home as COCO JSON and CSV.

What the page does stands in :class:`DemoPage` and needs no browser; ``build_page`` lays it out with
`Gradio <https://www.gradio.app>`_, an optional package, and ``serve`` runs it.
"""

import csv
import html
import inspect
import os
import signal
import tempfile
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from ...cli.errors import USER_MISTAKES, explain
from ...datasets.images.files import IMAGE_SUFFIXES
from ...datasets.images.infrared_io import count_pages
from ...datasets.transforms.loading import LoadIRImageFromFile
from ...datasets.transforms.tone_mapping import METHODS, ToneMapping
from ...datasets.wrappers import build_leaves
from ...visualization.overlay import FoundInstance, draw_instances, find_instances
from ...visualization.picture import as_picture
from ..inference.inferencer import IRInferencer
from ..inference.inputs import Frame, Source
from ..inference.outputs import ResultFiles
from ..inference.run import score_thresholds
from .uploads import MAX_PIXELS, check_image_file

if TYPE_CHECKING:
    import gradio

INSTALL = 'pip install "gradio>=6.31,<7"'
MAX_UPLOAD_MB = 50
FROM_CONFIG = 'config'
TABLE = ('class', 'score', 'area_px', 'mean', 'max', 'unit')  # columns of ResultFiles' CSV that the page shows
DEFAULT_SCORE = 0.3
_KEPT_SECONDS = 3600  # what was uploaded and found is deleted after this time
_SESSIONS = 16  # whose detections are kept; those of the oldest go first
_WAITING = 16  # requests in the queue; more are sent away


@dataclass(eq=False)
class Detections:
    """All that a model found in an image, whatever the score, for the threshold to choose from.

    Attributes:
        frame: Image as read, under the name of the upload.
        picture: As the model saw it, ``[H, W, 3]`` uint8, RGB.
        instances: Best first, in pixels of the image.
        seconds: What the model took.
        folder: Of the result files; deleted together with this object.
    """

    frame: Frame
    picture: np.ndarray
    instances: list[FoundInstance]
    seconds: float
    folder: tempfile.TemporaryDirectory


class DemoPage:
    """What the controls of the page do; the model runs in ``detect`` only.

    Args:
        inferencer: Model with its config.
        model_name: For the page and the files' ``info``; no path, since visitors see it.
        folder: Where result files go; the system's temporary folder by default.
    """

    def __init__(
        self, inferencer: IRInferencer, model_name: str = '', folder: str | os.PathLike | None = None
    ) -> None:
        self.inferencer = inferencer
        self.model_name = model_name
        self.folder = folder

    def tone_mappings(self) -> list[tuple[str, str]]:
        """Labels and values of the choices; the first is the config's."""
        mapping = _find_tone_mapping(self.inferencer)
        settings = ', '.join(f'{key}={value}' for key, value in mapping.settings.items()) if mapping else ''
        own = f'{mapping.method} {settings}'.strip() if mapping else 'none, 8-bit pictures'
        return [(f"the config's ({own})", FROM_CONFIG), *((name, name) for name in METHODS)]

    def detect(
        self,
        path: str | None,
        tone_mapping: str = FROM_CONFIG,
        low: float | None = None,
        high: float | None = None,
        page: float | None = 0,
    ) -> Detections:
        """Runs the model.

        Args:
            path: The uploaded file.
            tone_mapping: ``'config'``, or a key of ``METHODS`` that takes the place of the config's tone mapping.
            low: Lower end, for ``'window'`` only; in counts, grey levels or the file's unit, in degrees Celsius where
                the config has ``kelvin_per_count``.
            high: Upper end.
            page: Image of a stack, from 0.

        Raises:
            ValueError: If there is no file, it is no image or too large, or the config or tone mapping refuses it.
                The message holds the file's name, not where the server keeps it.
        """
        if not path:
            raise ValueError('upload an image first')
        name = Path(path).name
        try:
            check_image_file(path)
            inferencer = self._with_tone_mapping(tone_mapping, low, high)
            image, page = self._read(Path(path), page)
            self._check_depth(inferencer, image, name)
            start = time.monotonic()
            data = inferencer.prepare(image, name)
            prediction = inferencer.predict([data])[0]
            seconds = time.monotonic() - start
        except USER_MISTAKES as error:
            raise ValueError(str(error).replace(str(path), name)) from None
        return Detections(
            frame=Frame(Source(Path(name).stem, (Path(name),)), Path(name), image, page, page),
            picture=as_picture(data['inputs'], data['data_samples'].metainfo),
            instances=find_instances(prediction, np.zeros(len(inferencer.classes))),
            seconds=seconds,
            folder=tempfile.TemporaryDirectory(prefix='found_', dir=self.folder),
        )

    def show(self, found: Detections | None, score: float) -> tuple[np.ndarray, str, list[list], str, str]:
        """Draws and writes what scores enough; the model does not run again.

        Args:
            found: Of ``detect``.
            score: Lowest one, 0..1.

        Returns:
            Overlay ``[H, W, 3]`` uint8, RGB; a line about it; rows of ``TABLE``; paths of COCO JSON and CSV.

        Raises:
            ValueError: If there is nothing to show, or the threshold is none.
        """
        if found is None:
            raise ValueError('nothing to show: run the model first (results are deleted after an hour)')
        classes = self.inferencer.classes
        thresholds = score_thresholds([str(score)], classes)
        instances = [item for item in found.instances if item.score >= thresholds[item.label]]
        info = {'model': self.model_name, 'masks': 'predicted', 'score': float(score)}
        results = ResultFiles(Path(found.folder.name), classes, info, self.inferencer.measured)
        try:
            results.add(found.frame, instances)
        finally:
            json_file, csv_file = results.close()
        with csv_file.open(newline='', encoding='utf-8') as file:
            rows = [[_number(row[column]) for column in TABLE] for row in csv.DictReader(file)]
        overlay = draw_instances(found.picture, instances, classes, self.inferencer.colors)
        height, width = found.frame.image.shape[:2]
        line = (
            f'{len(instances)} of {len(found.instances)} detections score {score:.2f} or more. {width}x{height} '
            f'pixels, {found.frame.image.dtype}, model {found.seconds:.1f} s.'
        )
        return overlay, line, rows, str(json_file), str(csv_file)

    def examples(self, number: int = 6) -> list[str]:
        """Paths of images from the config's test set, evenly spread; none where the set is not there or unsound."""
        dataset = self.inferencer.cfg.test_dataloader.dataset
        try:
            parts = build_leaves(dataset, lazy_init=False, test_mode=True)
        except USER_MISTAKES as error:
            print_log(f'No example images: {explain(error)}', logger='current')
            return []
        places = [(part, index) for part in parts for index in range(len(part))]
        chosen = np.linspace(0, len(places) - 1, min(number, len(places))).astype(int) if places else []
        paths = [part.get_data_info(index)['img_path'] for part, index in (places[i] for i in chosen)]
        return [path for path in dict.fromkeys(paths) if Path(path).is_file()]

    def _read(self, path: Path, page: float | None) -> tuple[np.ndarray, int | None]:
        pages = count_pages(path)
        if pages == 1:
            return self.inferencer.read(path), None
        number = int(page or 0)
        if not 0 <= number < pages:
            raise ValueError(f'image {path}: expected a page from 0 to {pages - 1}, got {number}')
        return self.inferencer.read(path, number), number

    def _with_tone_mapping(self, method: str, low: float | None, high: float | None) -> IRInferencer:
        """The inferencer with another tone mapping in place of the config's; the model is shared."""
        if method == FROM_CONFIG:
            return self.inferencer
        if method not in METHODS:
            raise ValueError(f'tone mapping: expected one of {[FROM_CONFIG, *METHODS]}, got {method!r}')
        old, pipeline = _find_tone_mapping(self.inferencer), copy(self.inferencer.pipeline)
        settings = {}
        if 'low' in _needed(METHODS[method]):
            if low is None or high is None:
                raise ValueError(f'tone mapping {method!r}: expected a low and a high end, got {low} and {high}')
            settings = {'low': float(low), 'high': float(high)}
            if old is not None and old.settings.get('kelvin_per_count'):
                settings['kelvin_per_count'] = old.settings['kelvin_per_count']
        if isinstance(pipeline.loader, LoadIRImageFromFile):
            pipeline.loader = copy(pipeline.loader)
            pipeline.loader.raw = True  # counts may pass: they are mapped next
        channels = old.channels if old is not None else getattr(pipeline.loader, 'channels', 3)
        rest = [transform for transform in pipeline.transforms if not isinstance(transform, ToneMapping)]
        pipeline.transforms = [ToneMapping(method, channels, **settings), *rest]
        inferencer = copy(self.inferencer)
        inferencer.pipeline = pipeline
        return inferencer

    def _check_depth(self, inferencer: IRInferencer, image: np.ndarray, name: str) -> None:
        if (
            inferencer is self.inferencer
            and image.dtype != np.uint8
            and not getattr(inferencer.pipeline.loader, 'raw', False)
        ):
            kind = '16-bit counts' if image.dtype == np.uint16 else 'floating-point values'
            raise ValueError(
                f'image {name}: the config takes 8-bit pictures, and this holds {kind}: choose a tone mapping'
            )


def build_page(page: DemoPage) -> 'gradio.Blocks':
    """Lays the page out.

    Raises:
        ImportError: If Gradio is not installed.
    """
    gr = _import_gradio()
    formats = ', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    with gr.Blocks(title='mmdet_ir', analytics_enabled=False, delete_cache=(60, _KEPT_SECONDS)) as blocks:
        gr.Markdown(f'## Infrared instance segmentation\n{html.escape(page.model_name)}')
        found = gr.State(time_to_live=_KEPT_SECONDS)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                upload = gr.File(
                    label=f'Image: {formats}; up to {MAX_UPLOAD_MB} MB and {MAX_PIXELS / 1e6:g} megapixels',
                    file_types=list(IMAGE_SUFFIXES),
                    height=140,
                )
                upload.async_move_resource_to_block_cache = _refuse_addresses(upload)
                mapping = gr.Dropdown(page.tone_mappings(), value=FROM_CONFIG, label='Tone mapping')
                with gr.Row(visible=False) as window:
                    low = gr.Number(label='Low end (as stored)', value=None)
                    high = gr.Number(label='High end (as stored)', value=None)
                number = gr.Number(label='Page, for stacks (from 0)', value=0, precision=0, minimum=0)
                run = gr.Button('Find targets', variant='primary', elem_id='run')
                examples = page.examples()
                if examples:
                    gr.Examples(
                        [[path] for path in examples],
                        upload,
                        label='From the test set',
                        example_labels=[Path(path).name for path in examples],
                    )
            with gr.Column(scale=2, min_width=480):
                overlay = gr.Image(
                    label='What was found',
                    format='png',
                    interactive=False,
                    elem_id='overlay',
                    buttons=['download', 'fullscreen'],
                )
                score = gr.Slider(0, 1, DEFAULT_SCORE, step=0.01, label='Score threshold', elem_id='score')
                line = gr.Markdown(elem_id='line')
                table = gr.Dataframe(
                    headers=list(TABLE),
                    interactive=False,
                    label='Instances',
                    elem_id='table',
                    datatype=['str', *['number'] * 4, 'str'],
                )
                with gr.Row():
                    json_button = gr.DownloadButton('COCO JSON', interactive=False, elem_id='json')
                    csv_button = gr.DownloadButton('CSV', interactive=False, elem_id='csv')
        shown = [overlay, line, table, json_button, csv_button]

        def show(detections: Detections | None, lowest: float) -> tuple:
            *content, json_file, csv_file = page.show(detections, lowest)
            links = (gr.DownloadButton(value=file, interactive=True) for file in (json_file, csv_file))
            return *content, *links

        def detect(*arguments: object) -> tuple:
            *given, lowest = arguments
            detections = page.detect(*given)
            return detections, *show(detections, lowest)

        def show_if_any(detections: Detections | None, lowest: float) -> tuple:
            return show(detections, lowest) if detections is not None else tuple(gr.skip() for _ in shown)

        mapping.change(
            lambda method: gr.Row(visible='low' in _needed(METHODS.get(method))),
            mapping,
            window,
            api_visibility='private',
        )
        run.click(
            _one_line(detect),
            [upload, mapping, low, high, number, score],
            [found, *shown],
            concurrency_limit=1,
            concurrency_id='model',
            api_visibility='private',
        )
        score.change(
            _one_line(show_if_any),
            [found, score],
            shown,
            trigger_mode='always_last',
            show_progress='hidden',
            api_visibility='private',
        )
    return blocks.queue(max_size=_WAITING, default_concurrency_limit=1, api_open=False)


def serve(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    *,
    host: str = '127.0.0.1',
    port: int = 7860,
    share: bool = False,
    device: str | None = None,
    cfg_options: dict | None = None,
    on_start: Callable[[str], object] = lambda address: None,
) -> None:
    """Runs the page until Ctrl-C or SIGTERM; then uploads and results are gone.

    Args:
        config: Config file.
        checkpoint: Trained weights, file or URL.
        host: Address to listen on. Others than this machine's own let everybody in who can reach them.
        port: Port to listen on.
        share: Whether Gradio's servers make the page public; only for those who mean it.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.
        on_start: Called with the page's address when it can be opened.

    Raises:
        ImportError: If Gradio is not installed.
        FileNotFoundError: If config or checkpoint is missing.
        ValueError: If they do not fit, or the port is taken.
    """
    gr = _import_gradio()
    model_name = f'{Path(config).stem}, {Path(checkpoint).name}'
    inferencer = IRInferencer(config, checkpoint, device, show_progress=False, cfg_options=cfg_options)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow stops at twice this number, inside of R-JPEG, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix='mmdet_ir_app_') as folder:
        cache, results = Path(folder, 'cache'), Path(folder, 'results')
        for place in (cache, results):
            place.mkdir()
        os.environ['GRADIO_TEMP_DIR'] = str(cache)
        blocks = build_page(DemoPage(inferencer, model_name, results))
        try:
            _, address, _ = blocks.launch(
                server_name=host,
                server_port=port,
                share=share,
                max_file_size=f'{MAX_UPLOAD_MB}mb',
                state_session_capacity=_SESSIONS,
                show_error=False,
                footer_links=[],
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                quiet=True,
                prevent_thread_lock=True,
                theme=gr.themes.Default(),
            )
        except OSError as error:
            raise ValueError(f'cannot listen on {host}:{port}: {error}') from error
        on_start(address)
        try:
            blocks.block_thread()
        finally:
            blocks.close()


def _import_gradio() -> 'gradio':
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    try:
        import gradio
    except ImportError as error:
        raise ImportError(f'the demo page needs the package gradio: {INSTALL}') from error
    return gradio


def _one_line(function: Callable) -> Callable:
    """A user's mistake becomes one line on the page; of other errors the page shows nothing but that there was one."""
    gr = _import_gradio()

    @wraps(function)
    def wrapped(*arguments: object) -> object:
        try:
            return function(*arguments)
        except USER_MISTAKES as error:
            message = html.escape(' '.join(explain(error).split()))  # (Gradio shows it as HTML)
            raise gr.Error(message, print_exception=False) from error

    return wrapped


def _refuse_addresses(upload: 'gradio.File') -> Callable:
    """Gradio fetches the file of a request that names a web address; here files are uploaded, or not used."""
    original = upload.async_move_resource_to_block_cache

    async def move(resource: str | os.PathLike | None) -> str | None:
        if resource is not None and '://' in str(resource):
            raise ValueError('expected an uploaded file, got an address')
        return await original(resource)

    return move


def _find_tone_mapping(inferencer: IRInferencer) -> ToneMapping | None:
    return next((item for item in inferencer.pipeline.transforms if isinstance(item, ToneMapping)), None)


def _needed(method: Callable | None) -> list[str]:
    """Settings that a tone mapping has no defaults for."""
    parameters = list(inspect.signature(method).parameters.values())[1:] if method is not None else []
    return [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
