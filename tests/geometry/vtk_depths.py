"""Draw meshes by VTK, in a process of its own: without OpenGL on the machine VTK ends the process.

python vtk_depths.py SCENES.npz DEPTHS.npz
"""

import sys

import numpy as np
import pyvista


def main(scenes: str, depths: str) -> None:
    inputs = np.load(scenes)
    size = int(inputs["size"])
    found = {}
    for name in inputs["names"]:
        vertices, faces = inputs[f"{name}.vertices"], inputs[f"{name}.faces"]
        for number, (origin, _, y, z) in enumerate(inputs["cameras"]):
            plotter = pyvista.Plotter(off_screen=True, window_size=(size, size))
            plotter.disable_anti_aliasing()
            plotter.add_mesh(pyvista.PolyData.from_regular_faces(vertices, faces), lighting=False)
            plotter.camera.position = tuple(origin)
            plotter.camera.focal_point = tuple(origin + z)
            plotter.camera.up = tuple(-y)
            plotter.camera.view_angle = float(np.degrees(inputs["fov"]))
            plotter.camera.clipping_range = (1.0, 3.0)
            plotter.show(auto_close=False)
            found[f"{name}.{number}"] = -plotter.get_image_depth(fill_value=np.nan)
            plotter.close()
    np.savez(depths, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
