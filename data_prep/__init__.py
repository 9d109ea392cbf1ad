"""Recipes: where the shapes of known sources are, their ids, splits, axes, terms and checksums.

A recipe writes a CSV for `geomflow prep`, which does the work; `python -m data_prep.NAME --help` says what it expects,
`--dry-run` what it finds. A folder of meshes, a zip and a CSV of your own need no recipe: `geomflow prep` reads them.

    modelnet     ModelNet10 and ModelNet40
    shapenet     ShapeNetCore v1 and v2
    pointflow    PointFlow's point clouds of ShapeNetCore v2
    objaverse    Objaverse 1.0, filtered by licence
    thingi10k    Thingi10K
    abo          Amazon Berkeley Objects
    shapes       any folder with a manifest.csv
    seating      the seats of two such folders, from which the embedded model `chairs` is made
    categories   all classes of the same folders that are large enough, for the embedded `categories`
    rigs         rigged characters and animals, with or without a manifest
    procedural   families of shapes with exact signed distances, made here
    procedural_rigs  families of characters with skeletons, made here
    joints       the rigs of a manifest and procedural ones, from which a model of joints is made
    idx_images   MNIST and Fashion-MNIST: images, written as safetensors
    emoji        an archive of small images with transparency, on a ground
    image_folder  any folder of pictures, cropped and resized
    strokes      Fashion-MNIST beside its outlines, drawn with a few B-splines

`docs/data_sources.md` tells their terms, layouts and axes, and what was tried on the real data.
"""
