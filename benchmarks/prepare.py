"""A mesh as training data: ours against the plain way, in one process.

    python benchmarks/prepare.py --directory /usr/share/sweethome3d/furniture

Of every model: views with depth as PNG files, points on the surface, solid voxels. The plain way
is what a script in a notebook does: a ray for every pixel through trimesh, an image through
Pillow, `trimesh.sample`, `voxelized().fill()`. It takes one sample per pixel, no textures and
random points; ours takes four samples per pixel, has textures and spaces the points (farthest
first). A second plain way draws the views by VTK, where pyvista is installed and works. Reading the
mesh is left out. Processor times; trimesh's views are timed on a few (--plain_views) and counted
for all of them.
"""

import argparse
import io
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import trimesh
from PIL import Image

from triform.datasets.library.config import PrepareSettings
from triform.datasets.library.preparation import prepare_object
from triform.datasets.library.preparation.recipe import Recipe
from triform.datasets.listing import list_shapes
from triform.datasets.testdataset import write_testdataset
from triform.geometry.mesh import normalize


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--count", type=int, default=10, help="models, spread over all of them")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--points", type=int, default=16384)
    parser.add_argument("--voxel_size", type=int, default=64)
    parser.add_argument("--plain_views", type=int, default=1, help="views that trimesh is timed on")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for each plain part")
    parser.add_argument("--no_vtk", action="store_true")
    args = parser.parse_args()
    recipe = Recipe.from_settings(
        PrepareSettings(
            meshes=("-",),
            library="-",
            views=args.views,
            image_size=args.image_size,
            points=args.points,
            voxel_size=(args.voxel_size,),
        )
    )
    meshes = load_sample(args.directory, args.count)
    ours_of(meshes[0][1], Recipe(**{**vars(recipe), "views": 1}))  # compiles
    vtk = not args.no_vtk and vtk_works()
    rows = []
    for name, mesh in meshes:
        plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        plain.visual.face_colors = face_colors(mesh)
        cameras = prepare_object.camera_poses(mesh, recipe, 0)
        row = {
            "ours": sum(ours_of(mesh, recipe).values()),
            "rays": attempt(args, views_by_rays, plain, cameras, args),
            "vtk": attempt(args, views_by_vtk, mesh, cameras, args) if vtk else np.nan,
            "rest": attempt(args, points_and_voxels, plain, args),
        }
        rows.append(row)
        print(
            f"  {name[:44]:44} {len(mesh.faces):7} faces  ours {row['ours']:6.2f} s  "
            f"plain: views {row['rays']:8.1f} s by rays, {row['vtk']:6.2f} s by VTK, "
            f"points and voxels {row['rest']:7.2f} s"
        )
    report(rows, args)


def ours_of(mesh, recipe):
    """Seconds for each part of ours, encoded as it would be written."""
    parts = {
        "views": lambda: list(prepare_object._views(mesh, "x", recipe, 0)),
        "points": lambda: list(prepare_object._points(mesh, "x", recipe, 0)),
        "voxels": lambda: list(prepare_object._voxels(mesh, "x", recipe.voxel_sizes[0])),
    }
    return {name: seconds(call) for name, call in parts.items()}


def views_by_rays(plain, cameras, args):
    """Seconds for all views, from the first few."""
    few = cameras[: args.plain_views]

    def draw():
        for camera in few:
            rays = camera.rays(args.image_size).reshape(-1, 3)
            origins = np.broadcast_to(camera.origin, rays.shape)
            hits, ray, face = plain.ray.intersects_location(origins, rays, multiple_hits=False)
            depth = np.full(len(rays), 0xFFFF, np.uint16)
            depth[ray] = ((hits - camera.origin) @ camera.z * 65536 / 5).astype(np.uint16)
            light = 0.3 + 0.7 * np.abs(plain.face_normals[face] @ camera.z)
            rgba = np.zeros((len(rays), 4), np.uint8)
            rgba[ray, :3] = plain.visual.face_colors[face, :3] * light[:, None]
            rgba[ray, 3] = 255
            write_images(rgba, depth, args.image_size)

    return seconds(draw) * len(cameras) / len(few)


def views_by_vtk(mesh, cameras, args):
    """Seconds for all views; the window is opened once."""
    import pyvista

    def draw():
        size = args.image_size
        plotter = pyvista.Plotter(off_screen=True, window_size=(size, size))
        data = pyvista.PolyData.from_regular_faces(mesh.vertices, mesh.faces)
        data.cell_data["colors"] = face_colors(mesh)
        plotter.add_mesh(data, scalars="colors", rgb=True)
        for number, camera in enumerate(cameras):
            plotter.camera.position = tuple(camera.origin)
            plotter.camera.focal_point = tuple(camera.origin + camera.z)
            plotter.camera.up = tuple(-camera.y)
            plotter.camera.view_angle = float(np.degrees(camera.fov))
            plotter.camera.clipping_range = (1.0, 3.0)
            plotter.show(auto_close=False) if number == 0 else plotter.render()
            image = plotter.screenshot(transparent_background=True, return_img=True)
            depth = -plotter.get_image_depth(fill_value=np.nan) * 65536 / 5
            depth = np.nan_to_num(depth, nan=0xFFFF).astype(np.uint16)
            write_images(image.reshape(-1, 4), depth.ravel(), size)
        plotter.close()

    return seconds(draw)


def write_images(rgba, depth, size):
    for pixels in (rgba.reshape(size, size, 4), depth.reshape(size, size)):
        Image.fromarray(pixels).save(io.BytesIO(), "PNG")


def points_and_voxels(plain, args):
    def sample():
        np.save(io.BytesIO(), trimesh.sample.sample_surface(plain, args.points, seed=0)[0])
        grid = plain.voxelized(1 / args.voxel_size).fill()
        np.savez_compressed(io.BytesIO(), grid.matrix)

    return seconds(sample)


def report(rows, args):
    ours = np.array([row["ours"] for row in rows])
    print(
        f"{len(rows)} models, {args.views} views of {args.image_size} pixels, "
        f"{args.points} points, {args.voxel_size}^3 voxels\n"
        f"  ours    median {np.median(ours):6.2f} s of one core"
    )
    for name in ("rays", "vtk"):
        plain = np.array([row[name] + row["rest"] for row in rows])
        good = ~np.isnan(plain)
        if good.any():
            ratios = plain[good] / ours[good]
            label = "trimesh" if name == "rays" else "VTK"
            print(
                f"  {label:7} median {np.median(plain[good]):6.2f} s  "
                f"ratio median {np.median(ratios):.1f} (lowest {ratios.min():.1f}, "
                f"highest {ratios.max():.1f}, "
                f"in all {plain[good].sum() / ours[good].sum():.1f}), finished {good.sum()}"
            )


def load_sample(directory, count):
    if directory.is_dir() and (shapes := list_shapes([directory])):
        print(f"{directory}: {count} of {len(shapes)} models")
        shapes = shapes[:: max(1, len(shapes) // count)][:count]
        return [(one.object_id, normalize(one.load(appearance=True))) for one in shapes]
    print(f"no models in {directory}; using the project's parametric furniture")
    with TemporaryDirectory() as folder:
        write_testdataset(Path(folder), count)
        shapes = list_shapes([Path(folder)])
        return [(one.object_id, normalize(one.load(appearance=True))) for one in shapes]


def face_colors(mesh):
    if mesh.face_colors is None:
        return np.full((len(mesh.faces), 3), 200, np.uint8)
    return mesh.face_colors


def vtk_works():
    """Whether VTK can draw here; it ends the process where there is no OpenGL."""
    program = "import pyvista; pyvista.Plotter(off_screen=True).show()"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    if answer.returncode:
        print("VTK does not draw here, it is left out")
    return answer.returncode == 0


def attempt(args, call, *given):
    """Seconds, or NaN where it took too long or gave up."""
    try:
        with at_most(args.limit):
            return call(*given)
    except (TimeoutError, ValueError, MemoryError, ModuleNotFoundError) as error:
        print(f"  gave up: {type(error).__name__}: {error}")
        return np.nan


def seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


@contextmanager
def at_most(limit):
    """Interrupt a call of pure Python and numpy after a time (where the system has alarms)."""

    def stop(*_):
        raise TimeoutError(f"longer than {limit:g} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
