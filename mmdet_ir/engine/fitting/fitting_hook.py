"""Whether model, data sets and weights belong together, looked at before the first step of a run."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets.wrappers import leaves
from ...evaluation.ir_coco_metric import separate_files
from .model_checks import check_box_losses, check_class_counts, check_detection_limit, unmatched_keys
from .model_settings import tell_other_settings
from .weights import check_start, load_fitting_weights, load_weights, trained_classes, unwrapped

_RESUME = (
    '--resume goes on with the model that the checkpoint holds. To start a new training from its weights, leave '
    '--resume out and set load_from'
)


class FittingHook(Hook):
    """Refuses a run whose model, data sets and weights do not belong together, and says what is worth knowing.

    It is the first of all hooks, so that others find weights that fit. Weights to score or to go on with have to fit
    in full; of those that a training starts from (``load_from``) a line in the log tells what was taken.

    Args:
        training: Whether the run is a training.
    """

    priority = 'HIGHEST'

    def __init__(self, training: bool) -> None:
        self.training = training

    def before_run(self, runner: Runner) -> None:
        """Compares the model with the data sets, and gives each metric files of its own.

        Raises:
            ValueError: If ``num_classes`` is not the number of classes, or the data sets have different classes.
        """
        model, first = unwrapped(runner.model), None
        for part, loop in self._loops(runner):
            place, classes = f'{part}_dataloader.dataset', _classes(loop)
            check_class_counts(model, classes, place)
            first = first or (classes and (place, classes))
            if first and classes is not None and list(classes) != list(first[1]):
                raise ValueError(
                    f'{place}.metainfo.classes: expected those of {first[0]}, in their order, {list(first[1])}, as a '
                    f'label is a number of the order, got {list(classes)}'
                )
            metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
            separate_files(metrics)
            for metric in metrics:
                warning = check_detection_limit(model, _targets(metric), place)
                if warning is not None:
                    runner.logger.warning(warning)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Loads the weights; mmengine, which does so once more, then finds that they fit.

        Raises:
            ValueError: If they do not.
        """
        model, name = unwrapped(runner.model), str(runner._load_from or 'the checkpoint')
        config = str(runner.cfg.filename or 'the config')
        classes = next((_classes(loop) for _, loop in self._loops(runner)), None)
        if not self.training:
            load_fitting_weights(model, checkpoint, config, name, classes)
        elif runner._resume:
            load_fitting_weights(model, checkpoint, config, name, classes, optional=(), remedy=_RESUME)
        else:
            line, warnings = check_start(model, load_weights(model, checkpoint, name), name)
            runner.logger.info(line)
            trained = trained_classes(checkpoint)
            if None not in (classes, trained) and tuple(classes) != trained and len(classes) == len(trained):
                warnings.append(
                    f'load_from={name}: its classes are {list(trained)}, those of the training set are '
                    f'{list(classes)}: the heads are taken as they are, label by label'
                )
            for warning in warnings:
                runner.logger.warning(warning)
        tell_other_settings(checkpoint, name, runner.cfg)
        checkpoint['state_dict'] = model.state_dict()

    def _loops(self, runner: Runner) -> Iterator[tuple[str, object]]:
        """The loops that are built, the one that runs first of all."""
        loops = {'train': '_train_loop', 'val': '_val_loop'} if self.training else {'test': '_test_loop'}
        for part, attribute in loops.items():
            loop = getattr(runner, attribute)
            if hasattr(loop, 'dataloader'):
                yield part, loop


def _classes(loop: object) -> Sequence[str] | str | None:
    dataset = leaves(loop.dataloader.dataset)[0]
    return (getattr(dataset, 'metainfo', None) or {}).get('classes')


def _targets(metric: object) -> Counter:
    """Targets of each image in the annotation file of a COCO metric."""
    coco = getattr(metric, '_coco_api', None)
    annotations = [] if coco is None else coco.dataset.get('annotations', [])
    return Counter(annotation['image_id'] for annotation in annotations if not annotation.get('iscrowd'))


def add_fitting_checks(runner: Runner, training: bool) -> None:
    """Refuses box losses that cannot work (in training), and registers :class:`FittingHook`.

    The hook is not in the config: what a config computes, and its hash in records, stays the same.

    Args:
        runner: Before ``train()`` or ``test()``.
        training: Which of them.

    Raises:
        ValueError: See :func:`check_box_losses`.
    """
    if training:
        check_box_losses(unwrapped(runner.model))
        for warning in unmatched_keys(unwrapped(runner.model), runner.optim_wrapper):
            runner.logger.warning(warning)
    runner.register_hook(FittingHook(training))
