"""Make the files of one library object from its mesh. Runs in a worker process."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library import layout
from triform.datasets.library.layout import LibraryObject, Part
from triform.datasets.library.preparation.journal import Note, write_note
from triform.datasets.library.preparation.recipe import Recipe
from triform.datasets.library.preparation.source import read_source
from triform.datasets.library.store import Store, StoreError
from triform.datasets.shape import MeshFile, Shape
from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh, normalize
from triform.geometry.render.cameras import (
    Camera,
    even_cameras,
    fitting_fov,
    random_cameras,
    turntable_cameras,
    upper_cameras,
)
from triform.geometry.render.views import View, render_views
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.voxels.voxelize import voxelize
from triform.images.png import encode_png

File = tuple[str, bytes]


@dataclass(frozen=True)
class PrepareTask:
    """One object to prepare.

    Attributes:
        store: the library's files.
        object_id: name of the object in the library.
        shape: the source mesh.
        recipe: settings of all parts.
        parts: the parts to make.
        old: the object as it is in the library, or None.
        is_unchanged: whether the other parts of `old` are still valid.
        failure_key: saved with a failure, so that the same attempt is not repeated.
    """

    store: Store
    object_id: str
    shape: Shape
    recipe: Recipe
    parts: tuple[str, ...]
    old: LibraryObject | None
    is_unchanged: bool
    failure_key: str


def prepare_object(task: PrepareTask) -> Note:
    """Write the files of an object, then a note with the object or the reason of its failure."""
    try:
        if task.old is not None:
            # From here on its files are neither the old ones nor the new ones.
            write_note(task.store, Note(task.object_id))
        entry = _build(task)
        captions = tuple(zip(task.shape.captions, task.shape.languages, strict=True))
        note = Note(task.object_id, entry=entry, captions=captions)
        write_note(task.store, note)
        return note
    except StoreError:
        raise  # not the fault of this mesh: every other one would fail too
    except UserError as error:
        return record_failure(task, str(error))
    except MemoryError:
        return record_failure(task, "there is not enough memory for it")
    except Exception as error:  # a bad mesh may break anything
        return record_failure(task, f"{type(error).__name__}: {error}")


def record_failure(task: PrepareTask, reason: str) -> Note:
    """Write a note with the reason of a failure, and remove the files of the object."""
    if task.old is not None:
        for path in task.old.files:
            task.store.remove(path)
    # The object's id is beside it, so that the name of its file needs not be repeated.
    if isinstance(task.shape.origin, MeshFile):
        reason = reason.removeprefix(f"{task.shape.origin.path}: ")
    reason = " ".join(reason.split()).removeprefix("mesh: ")[:500]
    note = Note(task.object_id, reason=reason, source=task.shape.object_id, key=task.failure_key)
    write_note(task.store, note)
    return note


def warm_up(recipe: Recipe) -> None:
    """Import and compile the code that most objects need."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    mesh = normalize(Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])))
    small = dataclasses.replace(recipe, views=1, image_size=8, points=4, fov=0.0)
    for files in (
        _views(mesh, "", small, 0) if recipe.views else (),
        _points(mesh, "", small, 0) if recipe.points else (),
        _voxels(mesh, "", 4) if recipe.voxel_sizes else (),
    ):
        list(files)


def _build(task: PrepareTask) -> LibraryObject:
    shape, recipe, object_id = task.shape, task.recipe, task.object_id
    source = read_source(shape)
    low, high = source.mesh.bounds
    normal = normalize(source.mesh)
    old = task.old if task.is_unchanged else None
    entry = (old or LibraryObject(object_id=object_id)).model_copy(
        update={
            "source": shape.object_id,
            "dataset": shape.source,
            "source_file": shape.location,
            "sha256": source.sha256,
            "dependencies": dict(source.dependencies),
            "content": source.content,
            "scale": float((high - low).max()),
            "centre": tuple(map(float, low + (high - low) / 2)),
            "faces": len(source.mesh.faces),
            "source_split": shape.split,
            "category": shape.category,
            "licence": shape.licence,
        }
    )
    for part in task.parts:
        kind, _, size = part.partition("_")
        if kind == "views":
            files = _views(normal, object_id, recipe, recipe.seed_for("views", shape.object_id))
            views = range(1, recipe.views + 1)
            update: dict[str, object] = {
                "images": tuple(layout.image_path(object_id, view) for view in views),
                "depths": tuple(layout.depth_path(object_id, view) for view in views),
                "cameras": tuple(layout.camera_path(object_id, view) for view in views),
                "image_size": recipe.image_size,
            }
        elif kind == "points":
            seed = recipe.seed_for("points", shape.object_id)
            files = _points(normal, object_id, recipe, seed)
            update = {
                "points": layout.points_path(object_id),
                "colors": layout.colors_path(object_id),
                "normals": layout.normals_path(object_id),
                "point_count": recipe.points,
            }
        else:
            files = _voxels(source.mesh, object_id, int(size))
            path = layout.voxels_path(object_id, int(size))
            update = {"voxels": dict(sorted({**entry.voxels, int(size): path}.items()))}
        written = 0
        for path, data in files:
            task.store.write_bytes(path, data)
            written += len(data)
        record = Part(key=recipe.key(part, source.content), size=written)
        update["parts"] = dict(sorted({**entry.parts, part: record}.items()))
        entry = entry.model_copy(update=update)
    if task.old is not None:
        for path in sorted({*task.old.files} - {*entry.files}):
            task.store.remove(path)
    return entry


def _views(mesh: Mesh, object_id: str, recipe: Recipe, seed: int) -> Iterator[File]:
    cameras = camera_poses(mesh, recipe, seed)
    views = render_views(mesh, cameras, recipe.image_size, shading=recipe.shading, normalize=False)
    for index, (camera, view) in enumerate(zip(cameras, views, strict=True), 1):
        yield layout.image_path(object_id, index), encode_png(view.rgba)
        yield layout.depth_path(object_id, index), encode_png(depth_values(view))
        text = json.dumps(camera.to_json())
        yield layout.camera_path(object_id, index), text.encode()


def camera_poses(mesh: Mesh, recipe: Recipe, seed: int) -> list[Camera]:
    """Cameras around a normalized mesh."""
    fov = recipe.fov or fitting_fov(mesh)
    if recipe.cameras == "turntable":
        return turntable_cameras(recipe.views, fov=fov)
    placements = {"even": even_cameras, "upper": upper_cameras, "random": random_cameras}
    return placements[recipe.cameras](recipe.views, fov=fov, seed=seed)


def depth_values(view: View) -> np.ndarray:
    """Depth as in Shap-E, (S, S) uint16: depth * 65536 / 5, and 65535 for the background.

    A pixel that is transparent in the image is background in the depth as well, even if the ray
    through its center hits a thin part that all samples of the image miss.
    """
    scaled = np.rint(np.minimum(view.depth, layout.MAX_DEPTH) * (65536 / layout.MAX_DEPTH))
    values: np.ndarray = np.minimum(scaled, layout.FAR - 1).astype(np.uint16)
    values[~np.isfinite(view.depth) | (view.rgba[..., 3] == 0)] = layout.FAR
    return values


def _points(mesh: Mesh, object_id: str, recipe: Recipe, seed: int) -> Iterator[File]:
    samples = sample_surface(mesh, recipe.points, seed, spacing=recipe.spacing)
    order = np.arange(recipe.points)
    if recipe.spacing != "farthest":
        # In the order of the faces the first points would show one corner of the object only.
        order = np.random.default_rng([seed, 1]).permutation(recipe.points)
    colors = samples.colors
    if colors is None:
        colors = np.broadcast_to(np.array(UNCOLORED, np.uint8), samples.points.shape)
    yield layout.points_path(object_id), _npy(samples.points[order].astype(np.float32))
    yield layout.colors_path(object_id), _npy(colors[order])
    yield layout.normals_path(object_id), _npy(samples.normals[order].astype(np.float32))


def _voxels(mesh: Mesh, object_id: str, size: int) -> Iterator[File]:
    # The same voxels as `datasets.voxels` gives to the voxel systems.
    bits = np.packbits(voxelize(mesh, size, parity=True))
    stream = io.BytesIO()
    np.savez_compressed(stream, occupancy=bits, resolution=np.int64(size))
    yield layout.voxels_path(object_id, size), stream.getvalue()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
