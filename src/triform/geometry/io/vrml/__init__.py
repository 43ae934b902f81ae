"""VRML 2.0 (VRML97): its grammar, the fields of its nodes, its shapes, and its scenes as meshes."""
