"""Pages and files that texts name are there: a message that sends its reader to a page that was moved is no help."""

import re
import subprocess
from pathlib import Path

REPO = Path(__file__).parents[2]
PAGE = re.compile(r'docs/[\w/-]+\.(?:md|ipynb)')
# Paths of this repository in the texts of the documentation and in README.
TRACKED = re.compile(r'(?<![\w/.])(?:mmdet_ir|configs|tools|tests|\.ci)/[\w/.-]*\.(?:py|sh|yaml)\b')


def tracked(*patterns: str) -> list[Path]:
    run = subprocess.run(['git', 'ls-files', '-z', *patterns], cwd=REPO, capture_output=True, text=True, check=True)
    return [REPO / name for name in run.stdout.split('\0') if name and (REPO / name).is_file()]


def named(files: list[Path], pattern: re.Pattern[str]) -> set[tuple[str, str]]:
    return {
        (str(file.relative_to(REPO)), match)
        for file in files
        for match in pattern.findall(file.read_text(encoding='utf-8'))
    }


def test_every_page_that_is_named_exists() -> None:
    found = named(tracked('*.py', '*.sh', '*.md', '*.yaml', 'Makefile', '.ci/*', ':!tests/test_docs'), PAGE)
    assert ('README.md', 'docs/method/results.md') in found  # the search finds what is there
    assert {(file, page) for file, page in found if not (REPO / page).is_file()} == set()


def test_every_file_that_the_docs_name_exists() -> None:
    found = named(tracked('docs/*.md', 'README.md', 'CONTRIBUTING.md', 'SECURITY.md'), TRACKED)
    assert ('README.md', 'tools/doctor.py') in found
    # examples of files that the reader is to write
    own = {'configs/quickstart/clahe.py'}
    assert {(file, path) for file, path in found if path not in own and not (REPO / path).is_file()} == set()


def test_the_design_page_names_every_room() -> None:
    page = (REPO / 'docs' / 'maintainers' / 'design.md').read_text(encoding='utf-8')
    rooms = {path.relative_to(REPO).parts[1] for path in tracked('mmdet_ir/*/__init__.py')}
    assert {'apis', 'datasets', 'models'} <= rooms
    assert {room for room in rooms if f'`mmdet_ir/{room}/`' not in page} == set()
