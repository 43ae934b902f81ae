"""Every road by which an image file comes into the program, each as pixels on white."""

import base64
import json
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from triform.base.errors import UserError
from triform.datasets.captioned.table import FileImages
from triform.datasets.images.folder import read_pixels
from triform.datasets.images.load import load_images
from triform.datasets.images.table import with_channels
from triform.datasets.library.decoding import decode_image
from triform.geometry.io.load import load_mesh
from triform.images.find import find_images
from triform.images.read import on_background
from triform.systems.captioner import trained as captioner
from triform.systems.cycle_gan import trained as cycle_gan
from triform.systems.retrieval.documented import embed_images
from triform.systems.retrieval.gallery.entries import list_entries
from triform.systems.retrieval.gallery.search import read_queries
from triform.systems.retrieval.verb_config import SearchConfig

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\n"


def on_white(pixels):
    """(H, W, 3) from (H, W, 1 to 4)."""
    return with_channels(np.asarray(pixels)[None], 3)[0]


def texture(path, **options):
    """The texture of a model, on white."""
    mesh = load_mesh(path, appearance=True, **options)
    materials = mesh.appearance.materials if mesh.appearance else ()
    found = [each.texture for each in materials if each.texture is not None]
    if not found:
        raise UserError("no texture")
    return on_white(found[0])


def dataset_folder(path):
    return load_images(path.parent, channels=3).images[0]


def classify(path):
    (found,) = find_images([str(path.parent)])
    return on_white(read_pixels(found))


def captioner_images(path):
    (found,) = find_images([str(path.parent)])
    image = captioner._read(found)
    if isinstance(image, str):
        raise UserError(image)
    return np.asarray(image)


def captioner_csv(path):
    return FileImages(path.parent, [path.name]).image(0)


def cycle_gan_images(path):
    network = SimpleNamespace(
        config=SimpleNamespace(model=SimpleNamespace()), spec=SimpleNamespace(channels=3)
    )
    kept, cycle_gan.min_image_size = cycle_gan.min_image_size, lambda model: 1
    try:
        (found,) = find_images([str(path.parent)])
        return cycle_gan._read_image(found, 1024, network)[0].permute(1, 2, 0).numpy()
    finally:
        cycle_gan.min_image_size = kept


def retrieval_image(path):
    (query,) = read_queries(SearchConfig(gallery=("a",), image=(str(path),)))
    return np.asarray(on_background(query.content.images[0]))


def retrieval_gallery(path):
    (entry,) = list_entries([str(path.parent)], "")
    (image,) = entry.read().images
    return np.asarray(on_background(image))


def retrieval_embed(path):
    encoder = SimpleNamespace(transform=lambda image: torch.tensor(np.array(on_background(image))))
    (batch,) = embed_images._batches(encoder, embed_images._images_of_folder(path.parent), 1)
    return batch[0].numpy()


def library(path):
    return on_white(decode_image(path.read_bytes(), path.name))


def obj(path):
    (path.parent / "m.mtl").write_text(f"newmtl a\nmap_Kd {path.name}\n")
    (path.parent / "m.obj").write_text(f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1/1 2/2 3/3\n")
    return texture(path.parent / "m.obj")


def obj_mask(path):
    """The white of a material that takes its holes from the image."""
    (path.parent / "m.mtl").write_text(f"newmtl a\nmap_d {path.name}\n")
    (path.parent / "m.obj").write_text(f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1/1 2/2 3/3\n")
    return texture(path.parent / "m.obj")


def gltf_tree(image, size):
    """A textured triangle; its 60 bytes of numbers come first in the only buffer."""
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [
            {"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}
        ],
        "materials": [
            {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}, "alphaMode": "BLEND"}
        ],
        "textures": [{"source": 0}],
        "images": [image],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": 3,
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [1, 1, 0],
            },
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC2"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 24},
            {"buffer": 0, "byteOffset": 60, "byteLength": size},
        ],
        "buffers": [{"byteLength": 60 + size}],
    }


NUMBERS = struct.pack("<15f", 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0)


def packed_glb(tree, binary):
    """A GLB file."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    parts = struct.pack("<II", len(text), 0x4E4F534A) + text
    parts += struct.pack("<II", len(binary), 0x004E4942) + binary
    return b"glTF" + struct.pack("<II", 2, 12 + len(parts)) + parts


def glb(path):
    data = path.read_bytes()
    tree = gltf_tree({"bufferView": 2, "mimeType": "image/png"}, len(data))
    (path.parent / "m.glb").write_bytes(packed_glb(tree, NUMBERS + data))
    return texture(path.parent / "m.glb")


def gltf(path):
    tree = gltf_tree({"uri": path.name}, 0)
    del tree["bufferViews"][2]
    numbers = base64.b64encode(NUMBERS).decode()
    tree["buffers"][0] = {"byteLength": 60, "uri": f"data:x;base64,{numbers}"}
    (path.parent / "m.gltf").write_text(json.dumps(tree))
    return texture(path.parent / "m.gltf")


DAE = """<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1"><asset/>
<library_images><image id="i"><init_from>NAME</init_from></image></library_images>
<library_effects><effect id="e"><profile_COMMON>
<newparam sid="s"><surface type="2D"><init_from>i</init_from></surface></newparam>
<newparam sid="p"><sampler2D><source>s</source></sampler2D></newparam>
<technique sid="t"><lambert><diffuse><texture texture="p" texcoord="UV"/></diffuse></lambert>
</technique></profile_COMMON></effect></library_effects>
<library_materials><material id="m"><instance_effect url="#e"/></material></library_materials>
<library_geometries><geometry id="g"><mesh>
<source id="v"><float_array id="va" count="9">0 0 0 1 0 0 1 1 0</float_array><technique_common>
<accessor source="#va" count="3" stride="3"><param name="X" type="float"/>
<param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
<source id="u"><float_array id="ua" count="6">0 0 1 0 1 1</float_array><technique_common>
<accessor source="#ua" count="3" stride="2"><param name="S" type="float"/>
<param name="T" type="float"/></accessor></technique_common></source>
<vertices id="x"><input semantic="POSITION" source="#v"/></vertices>
<triangles count="1" material="a"><input semantic="VERTEX" source="#x" offset="0"/>
<input semantic="TEXCOORD" source="#u" offset="1" set="0"/><p>0 0 1 1 2 2</p></triangles>
</mesh></geometry></library_geometries>
<library_visual_scenes><visual_scene id="w"><node><instance_geometry url="#g"><bind_material>
<technique_common><instance_material symbol="a" target="#m">
<bind_vertex_input semantic="UV" input_semantic="TEXCOORD" input_set="0"/></instance_material>
</technique_common></bind_material></instance_geometry></node></visual_scene>
</library_visual_scenes><scene><instance_visual_scene url="#w"/></scene></COLLADA>"""


def dae(path):
    (path.parent / "m.dae").write_text(DAE.replace("NAME", path.name))
    return texture(path.parent / "m.dae")


def ply(path):
    head = f"ply\nformat ascii 1.0\ncomment TextureFile {path.name}\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in ("x", "y", "z", "s", "t"))
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (path.parent / "m.ply").write_text(head + "0 0 0 0 0\n1 0 0 1 0\n1 1 0 1 1\n3 0 1 2\n")
    return texture(path.parent / "m.ply")


def wrl(path):
    (path.parent / "m.wrl").write_text(
        f'#VRML V2.0 utf8\nShape {{ appearance Appearance {{ texture ImageTexture {{ url "'
        f'{path.name}" }} }}\ngeometry IndexedFaceSet {{ coord Coordinate {{ point [0 0 0, 1 0 0, '
        "1 1 0] } coordIndex [0 1 2 -1] } }\n"
    )
    return texture(path.parent / "m.wrl")


MODEL = """<?xml version="1.0"?><model unit="millimeter"
xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02"><resources>
<m:texture2d id="2" path="/3D/Textures/NAME" contenttype="image/png"/>
<m:texture2dgroup id="3" texid="2"><m:tex2coord u="0" v="0"/></m:texture2dgroup>
<object id="1" type="model" pid="3" pindex="0"><mesh><vertices><vertex x="0" y="0" z="0"/>
<vertex x="1" y="0" z="0"/><vertex x="1" y="1" z="0"/></vertices><triangles>
<triangle v1="0" v2="1" v3="2" pid="3" p1="0"/></triangles></mesh></object></resources>
<build><item objectid="1"/></build></model>"""


def three_mf(path):
    with zipfile.ZipFile(path.parent / "m.3mf", "w") as archive:
        archive.writestr("3D/3dmodel.model", MODEL.replace("NAME", path.name))
        archive.write(path, f"3D/Textures/{path.name}")
        archive.writestr("_rels/.rels", "<Relationships/>")
        archive.writestr("[Content_Types].xml", "<Types/>")
    return texture(path.parent / "m.3mf")


IMAGE_ROADS = (
    dataset_folder,
    classify,
    captioner_images,
    captioner_csv,
    cycle_gan_images,
    retrieval_image,
    retrieval_gallery,
    retrieval_embed,
)
TEXTURE_ROADS = (obj, glb, gltf, dae, ply, wrl, three_mf)


def lone(folder: Path, name: str, data: bytes) -> Path:
    """A file that is alone in a new folder."""
    folder.mkdir(parents=True)
    path = folder / name
    path.write_bytes(data)
    return path
