"""Settings of `triform serve`. Imports nothing heavy."""

from pathlib import Path

from pydantic import Field

from triform.base.settings.config import Group, Settings


class LimitsConfig(Group):
    """Limits of the jobs and of what is sent to the server."""

    max_waiting: int = Field(32, ge=1, le=1000, description="Waiting jobs, of all users.")
    max_waiting_per_user: int = Field(4, ge=1, le=1000, description="Waiting jobs of one user.")
    max_job_minutes: float = Field(
        10.0, gt=0, le=1440, description="Longest time of a job, trainings excepted."
    )
    max_memory_gb: float = Field(6.0, gt=0, le=1024, description="Memory of a job, in GB.")
    max_upload_mb: float = Field(50.0, gt=0, le=1000, description="Largest uploaded file, in MB.")
    max_uploads_mb: float = Field(
        500.0, gt=0, le=100_000, description="All uploaded files; the oldest are deleted."
    )
    max_galleries_mb: float = Field(
        5000.0,
        gt=0,
        le=1_000_000,
        description="All indexes of searches; those are deleted that were not used for longest.",
    )
    min_free_gb: float = Field(
        1.0, ge=0, le=1000, description="Free disk space below which no job is taken."
    )


class ServeConfig(Settings):
    """Serve the web application: make shapes, search, describe images, train, in a browser."""

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen at; any other than this machine's own needs --auth.",
    )
    port: int = Field(7860, ge=0, le=65535, description="Port to listen at; 0 takes a free one.")
    auth: Path | None = Field(
        None, description="File with a line NAME:PASSWORD per user; without it nobody logs in."
    )
    folder: tuple[Path, ...] = Field(
        (), description="Folders of meshes or images that the pages may read; no others."
    )
    model: tuple[str, ...] = Field(
        (),
        description="Pretrained models of this machine that the pages may choose by name, besides "
        "those that the settings of a verb name.",
    )
    results: Path = Field(Path("results"), description="Folder of the results, one for each job.")
    runs_dir: Path = Field(Path("runs"), description="Folder of the training runs.")
    download_path: Path = Field(Path("datasets"), description="Folder of the data sets.")
    warm_up: bool = Field(True, description="Load the first model before it is asked for.")
    limits: LimitsConfig = LimitsConfig()
