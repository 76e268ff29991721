"Build from settings.ini: every `*_requirements` key is an extra, and `all` is their union."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here / 'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
extras = {k.removesuffix('_requirements'): cfg[k].split() for k in cfg if k.endswith('_requirements')}
extras['all'] = sorted({r for rs in extras.values() for r in rs})
pictures = f"](https://raw.githubusercontent.com/{cfg['user']}/{cfg['repo']}/main/nbs/images/" # An index of packages has no pictures of ours
readme = (here / 'README.md').read_text(encoding='utf-8').replace('](nbs/images/', pictures)

setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'].split(),
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0',
    long_description=readme, long_description_content_type='text/markdown',
    packages=[cfg['lib_name']], package_data={cfg['lib_name']: ['py.typed', 'data/**', 'sample/**']},
    python_requires=f">={cfg['min_python']}", install_requires=cfg['requirements'].split(), extras_require=extras,
    entry_points={'console_scripts': cfg['console_scripts'].split()}, zip_safe=False,
)
