"""Fails if the demo's mask mAP50 on held-out scenes is below a threshold, or its picture is missing."""

import json
import sys
from pathlib import Path

folder, threshold = Path(sys.argv[1]), float(sys.argv[2])
newest = max((folder / 'test').rglob('metrics_test.json'), key=lambda p: p.stat().st_mtime)
score = json.loads(newest.read_text())['metrics']['segm']['all']['mAP50']
print(f'demo: mask mAP50 {100 * score:.1f} % on held-out scenes, at least {100 * threshold:.0f} % wanted')
sys.exit(not (score >= threshold and (folder / 'grid.png').stat().st_size > 10_000))
