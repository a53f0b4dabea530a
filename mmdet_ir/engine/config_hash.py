"""The settings of a config that decide what it computes, and their hash."""

import hashlib
import json

from mmengine.config import Config

# Settings that say where or how a run was started, not what it computes.
_VOLATILE = ('work_dir', 'launcher', 'resume')


def config_settings(config: Config) -> dict:
    """The config as plain data, without the settings that do not change what is computed."""
    settings = {key: value for key, value in config.to_dict().items() if key not in _VOLATILE}
    return json.loads(json.dumps(settings, default=str))


def config_hash(config: Config) -> str:
    """SHA-256 of the settings; the order of keys, tuples against lists and the work folder make no difference."""
    return hashlib.sha256(json.dumps(config_settings(config), sort_keys=True).encode()).hexdigest()
