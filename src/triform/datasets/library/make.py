"""One object of a library: from its mesh to its files. Runs in a worker process."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triform.base.errors import UserError
from triform.datasets.library import layout
from triform.datasets.library.journal import Note, write_note
from triform.datasets.library.layout import LibraryObject, Part
from triform.datasets.library.recipe import Recipe
from triform.datasets.library.source import read_source
from triform.datasets.library.store import Store, StoreError
from triform.datasets.shape import Shape
from triform.geometry.cameras import (
    Camera,
    even_cameras,
    fitting_fov,
    random_cameras,
    turntable_cameras,
    upper_cameras,
)
from triform.geometry.colors import UNCOLORED
from triform.geometry.mesh import Mesh, normalize
from triform.geometry.sample import sample_surface
from triform.geometry.views import View, render_views
from triform.geometry.voxelize import voxelize
from triform.images.png import encode_png

File = tuple[str, bytes]


@dataclass(frozen=True)
class Task:
    """An object that has to be made.

    Attributes:
        store: where its files go.
        object_id: its name there.
        shape: what it is made from.
        recipe: what is made.
        parts: which parts of that.
        old: the object as it is there, where there is one.
        keep: whether the other parts of `old` are still good.
        failure_key: noted with a refusal, so that it is not tried again in vain.
    """

    store: Store
    object_id: str
    shape: Shape
    recipe: Recipe
    parts: tuple[str, ...]
    old: LibraryObject | None
    keep: bool
    failure_key: str


def make_object(task: Task) -> Note:
    """Make the files of an object, and note that it is done, or why it cannot be."""
    try:
        if task.old is not None:
            # From here on its files are neither the old ones nor the new ones.
            write_note(task.store, Note(task.object_id))
        item = _make(task)
        captions = tuple(zip(task.shape.captions, task.shape.languages, strict=True))
        note = Note(task.object_id, item=item, captions=captions)
        write_note(task.store, note)
        return note
    except StoreError:
        raise  # no fault of this mesh, and the same for all others
    except UserError as error:
        return give_up(task, str(error))
    except MemoryError:
        return give_up(task, "there is not enough memory for it")
    except Exception as error:  # a mesh from a stranger may break anything
        return give_up(task, f"{type(error).__name__}: {error}")


def give_up(task: Task, reason: str) -> Note:
    """Note why an object cannot be made, and remove what there may be of it."""
    if task.old is not None:
        for path in task.old.files:
            task.store.remove(path)
    reason = " ".join(reason.split()).removeprefix("mesh: ")[:500]
    note = Note(task.object_id, reason=reason, source=task.shape.object_id, key=task.failure_key)
    write_note(task.store, note)
    return note


def warm_up(recipe: Recipe) -> None:
    """Have everything imported and compiled that most objects need."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    mesh = normalize(Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])))
    small = dataclasses.replace(recipe, views=1, image_size=8, points=4, fov=0.0)
    for files in (
        _views(mesh, "", small, 0) if recipe.views else (),
        _points(mesh, "", small, 0) if recipe.points else (),
        _voxels(mesh, "", 4) if recipe.voxel_sizes else (),
    ):
        list(files)


def _make(task: Task) -> LibraryObject:
    shape, recipe, object_id = task.shape, task.recipe, task.object_id
    source = read_source(shape)
    low, high = source.mesh.bounds
    normal = normalize(source.mesh)
    old = task.old if task.keep else None
    item = (old or LibraryObject(object_id=object_id)).model_copy(
        update={
            "source": shape.object_id,
            "dataset": shape.source,
            "sha256": source.sha256,
            "beside": dict(source.beside),
            "content": source.content,
            "scale": float((high - low).max()),
            "centre": tuple(map(float, low + (high - low) / 2)),
            "faces": len(source.mesh.faces),
            "given_split": shape.split,
            "category": shape.category,
            "licence": shape.licence,
        }
    )
    for part in task.parts:
        kind, _, size = part.partition("_")
        if kind == "views":
            files = _views(normal, object_id, recipe, recipe.seed_for("views", shape.object_id))
            numbers = range(1, recipe.views + 1)
            update: dict[str, object] = {
                "images": tuple(layout.image_path(object_id, n) for n in numbers),
                "depths": tuple(layout.depth_path(object_id, n) for n in numbers),
                "cameras": tuple(layout.camera_path(object_id, n) for n in numbers),
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
            update = {"voxels": dict(sorted({**item.voxels, int(size): path}.items()))}
        written = 0
        for path, data in files:
            task.store.write_bytes(path, data)
            written += len(data)
        made = Part(key=recipe.key(part, source.content), size=written)
        update["parts"] = dict(sorted({**item.parts, part: made}.items()))
        item = item.model_copy(update=update)
    if task.old is not None:
        for path in sorted({*task.old.files} - {*item.files}):
            task.store.remove(path)
    return item


def _views(mesh: Mesh, object_id: str, recipe: Recipe, seed: int) -> Iterator[File]:
    cameras = place_cameras(mesh, recipe, seed)
    views = render_views(mesh, cameras, recipe.image_size, shading=recipe.shading, normalize=False)
    for number, (camera, view) in enumerate(zip(cameras, views, strict=True), 1):
        yield layout.image_path(object_id, number), encode_png(view.rgba)
        yield layout.depth_path(object_id, number), encode_png(depth_values(view))
        text = json.dumps(camera.to_json())
        yield layout.camera_path(object_id, number), text.encode()


def place_cameras(mesh: Mesh, recipe: Recipe, seed: int) -> list[Camera]:
    """The cameras around a normalized mesh."""
    fov = recipe.fov or fitting_fov(mesh)
    if recipe.cameras == "turntable":
        return turntable_cameras(recipe.views, fov=fov)
    place = {"even": even_cameras, "upper": upper_cameras, "random": random_cameras}
    return place[recipe.cameras](recipe.views, fov=fov, seed=seed)


def depth_values(view: View) -> np.ndarray:
    """Depth as Shap-E writes it: 16 bit, depth * 65536 / 5, 65535 where nothing is.

    Where the middle of a pixel hits a string or an edge that all its samples miss, the picture
    shows nothing, and so does the depth.
    """
    scaled = np.rint(np.minimum(view.depth, layout.MAX_DEPTH) * (65536 / layout.MAX_DEPTH))
    values = np.minimum(scaled, layout.FAR - 1).astype(np.uint16)
    values[~np.isfinite(view.depth) | (view.rgba[..., 3] == 0)] = layout.FAR
    return values


def _points(mesh: Mesh, object_id: str, recipe: Recipe, seed: int) -> Iterator[File]:
    cloud = sample_surface(mesh, recipe.points, seed, spacing=recipe.spacing)
    order = np.arange(recipe.points)
    if recipe.spacing != "farthest":
        # In the order of the faces the first points would show one corner of the object only.
        order = np.random.default_rng([seed, 1]).permutation(recipe.points)
    colors = cloud.colors
    if colors is None:
        colors = np.broadcast_to(np.array(UNCOLORED, np.uint8), cloud.points.shape)
    yield layout.points_path(object_id), _npy(cloud.points[order].astype(np.float32))
    yield layout.colors_path(object_id), _npy(colors[order])
    yield layout.normals_path(object_id), _npy(cloud.normals[order].astype(np.float32))


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
