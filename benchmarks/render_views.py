"""Views of meshes: ours against trimesh's ray casting and against VTK, same cameras, one process.

    python benchmarks/render_views.py --directory /usr/share/sweethome3d/furniture

Ours draws what training data needs: textures, glass, smooth light, 4 samples per pixel, and the
exact depth. trimesh casts one ray per pixel (through Embree where the package embreex is installed)
and lights the face that it meets, one colour per face: less work. VTK, through pyvista, draws one
colour per face with 4 samples per pixel and gives its depth buffer. Loading is left out; figures
are processor time, all threads added up. VTK is left out where it finds no OpenGL.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import trimesh
from voxelize import at_most

from triform.datasets.listing import list_shapes
from triform.datasets.testdataset import write_testdataset
from triform.geometry.mesh import normalize
from triform.geometry.render.cameras import FOV, even_cameras
from triform.geometry.render.views import render_views


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("datasets/sweethome3d"))
    parser.add_argument("--count", type=int, default=20, help="models, spread over all of them")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds per model for a peer")
    args = parser.parse_args()

    if not args.directory.is_dir():
        print(f"no models in {args.directory}; using the project's parametric furniture")
        write_testdataset(args.directory, args.count)
    shapes = list_shapes([args.directory])
    meshes = [
        normalize(shape.load(appearance=True))
        for shape in shapes[:: max(1, len(shapes) // args.count)][: args.count]
    ]
    cameras = even_cameras(args.views)
    peers = {"trimesh": cast}
    if vtk_draws():
        peers["VTK"] = rasterize
    for draw in (ours, *peers.values()):
        seconds(draw, meshes[0], cameras[:1], args)  # compiles, opens

    print(f"{len(meshes)} of {len(shapes)} models, {args.views} views of {args.size} px")
    times = [seconds(ours, mesh, cameras, args) for mesh in meshes]
    report("ours", times, args.views)
    for name, draw in peers.items():
        theirs = [seconds(draw, mesh, cameras, args) for mesh in meshes]
        report(name, theirs, args.views)
        ratios = np.array(theirs) / times
        finished = np.isfinite(ratios)
        if finished.any():
            print(
                f"  ratio of {name} to ours: {np.nanmedian(ratios):.1f} in the median, "
                f"{np.nansum(theirs) / np.array(times)[finished].sum():.1f} in all"
            )


def ours(mesh, cameras, size):
    return render_views(mesh, cameras, size, normalize=False)


def cast(mesh, cameras, size):
    """One ray through the middle of every pixel."""
    plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    colors = face_colors(mesh)
    for camera in cameras:
        rays = camera.rays(size).reshape(-1, 3)
        face = plain.ray.intersects_first(np.tile(camera.origin, (len(rays), 1)), rays)
        hit = face >= 0
        light = 0.3 + 0.7 * np.abs(mesh.face_normals[face[hit]] @ camera.z)
        rgba, depth = np.zeros((size * size, 4), np.uint8), np.full(size * size, np.inf)
        rgba[hit, :3], rgba[hit, 3] = colors[face[hit]] * light[:, None], 255
        corner, normal = mesh.triangles[face[hit], 0], mesh.face_normals[face[hit]]
        with np.errstate(all="ignore"):
            # Where the ray meets the plane of the face.
            depth[hit] = ((corner - camera.origin) * normal).sum(1) / (rays[hit] * normal).sum(1)
        yield rgba.reshape(size, size, 4), depth.reshape(size, size)


def rasterize(mesh, cameras, size):
    import pyvista

    data = pyvista.PolyData.from_regular_faces(mesh.vertices, mesh.faces)
    data.cell_data["color"] = face_colors(mesh)
    plotter = pyvista.Plotter(off_screen=True, window_size=(size, size))
    plotter.enable_anti_aliasing("msaa", multi_samples=4)
    plotter.add_mesh(data, scalars="color", rgb=True)
    for camera in cameras:
        plotter.camera.position = tuple(camera.origin)
        plotter.camera.focal_point = tuple(camera.origin + camera.z)
        plotter.camera.up = tuple(-camera.y)
        plotter.camera.view_angle = np.degrees(FOV)
        plotter.camera.clipping_range = (1.0, 3.0)
        plotter.render()
        image = plotter.screenshot(return_img=True, transparent_background=True)
        yield image, plotter.get_image_depth()
    plotter.close()


def face_colors(mesh):
    grey = np.full(mesh.faces.shape, 200, dtype=np.uint8)
    return grey if mesh.face_colors is None else mesh.face_colors


def vtk_draws():
    """Try it in another process: without OpenGL, VTK ends the one that it is in."""
    code = "import pyvista; pyvista.Plotter(off_screen=True).screenshot(return_img=True)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def seconds(draw, mesh, cameras, args):
    start = time.process_time()
    try:
        with at_most(args.limit):
            for _ in draw(mesh, cameras, args.size):
                pass
    except (TimeoutError, MemoryError, ImportError):  # trimesh casts no rays without rtree
        return np.nan
    return time.process_time() - start


def report(name, times, views):
    finished = np.array(times)[np.isfinite(times)]
    speeds = views / finished if len(finished) else np.array([np.nan])
    print(
        f"  {name:8} finished {len(finished)} of {len(times)}: median {np.median(speeds):7.1f} "
        f"views/s, all {views * len(finished) / max(finished.sum(), 1e-9):7.1f} views/s"
    )


if __name__ == "__main__":
    main()
