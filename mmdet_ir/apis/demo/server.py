"""The demo page in the browser: laid out with `Gradio <https://www.gradio.app>`_, an optional package, and served."""

import html
import os
import signal
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ...cli.errors import USER_MISTAKES, explain
from ...datasets.images.files import IMAGE_SUFFIXES
from ...datasets.transforms.tone_mapping import METHODS
from ..inference.inferencer import IRInferencer
from .page import DEFAULT_SCORE, FROM_CONFIG, TABLE, DemoPage, Detections, needed_settings
from .uploads import MAX_PIXELS

if TYPE_CHECKING:
    import gradio

INSTALL = 'pip install "gradio>=6.31,<7"'
MAX_UPLOAD_MB = 50
TILES = ('640x512', '1024x1024')
_KEPT_SECONDS = 3600  # what was uploaded and found is deleted after this time
_SESSIONS = 16  # whose detections are kept; those of the oldest go first
_WAITING = 16  # requests in the queue; more are sent away


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
                tile = gr.Dropdown(
                    [('none: the whole image at once', ''), *TILES],
                    value='',
                    label='Tiles, for large images (also another WIDTHxHEIGHT)',
                    allow_custom_value=True,
                )
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
            lambda method: gr.Row(visible='low' in needed_settings(METHODS.get(method))),
            mapping,
            window,
            api_visibility='private',
        )
        run.click(
            _one_line(detect),
            [upload, mapping, low, high, number, tile, score],
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
