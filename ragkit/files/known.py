"""Files and folders that are left out by their names: nobody searches for what is in them.

Only names that no project would give to sources of its own; `build`, `dist`, `target` and `output`
are not among them, since an ignore file mostly names those where they are made by a machine.
"""

from __future__ import annotations

FOLDERS = frozenset(
    [
        *(".git", ".hg", ".svn", ".bzr", ".jj", "CVS", "_darcs"),
        *("node_modules", "bower_components", "jspm_packages"),
        *("__pycache__", "__pypackages__", ".eggs", ".venv", ".ipynb_checkpoints"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".pytype", ".hypothesis", ".tox", ".nox"),
        *(".cache", ".parcel-cache", ".sass-cache", ".eslintcache", ".npm", ".pnpm-store"),
        *(".next", ".nuxt", ".svelte-kit", ".turbo", ".angular", ".docusaurus", ".nyc_output"),
        *(".gradle", ".terraform", ".terragrunt-cache", ".serverless", ".aws-sam", ".dart_tool"),
        *(".idea", ".vs", ".vscode-test", ".fleet", ".bundle", ".stack-work", ".direnv"),
        *(".import_linter_cache", ".ropeproject", ".ccls-cache", ".clangd", ".metals", ".bloop"),
    ]
)

FOLDER_SUFFIXES = (".egg-info", ".dist-info")

# A folder that holds one of these is what the file says, whatever its own name.
MARKERS = {
    "pyvenv.cfg": "a virtual environment",
    "conda-meta": "a conda environment",
    "CACHEDIR.TAG": "a cache folder",
}

FILES = frozenset([".git", ".DS_Store", "Thumbs.db", "desktop.ini", ".coverage", ".eslintcache"])

LOCKS = frozenset(
    [
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "deno.lock"),
        *("bun.lock", "bun.lockb", ".pnp.cjs", ".pnp.loader.mjs"),
        *("poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "pixi.lock", "conda-lock.yml"),
        *("Cargo.lock", "Cargo.Bazel.lock", "composer.lock", "Gemfile.lock", "go.sum"),
        *("go.work.sum", "flake.lock", "mix.lock", "rebar.lock", "pubspec.lock", "Podfile.lock"),
        *("Package.resolved", "Cartfile.resolved", "packages.lock.json", "paket.lock"),
        *("gradle.lockfile", ".terraform.lock.hcl", "MODULE.bazel.lock", "stack.yaml.lock"),
    ]
)

MINIFIED_SUFFIXES = (".min.js", ".min.mjs", ".min.cjs", ".min.css", ".js.map", ".css.map")

_BINARY = """
    7z a aab aac aiff apk arrow avi avif avro bin bmp br bz2 cab class cr2 cur db db-shm db-
    wal deb dex dll dmg doc docx dylib egg elc eot epub exe fbx feather flac flv gguf gif glb
    gz h5 hdf5 heic heif icns ico ipa iso jar jpeg jpg jxl ko lib lz lz4 lzma m4a m4v mdb mkv
    mo mov mp3 mp4 mpeg mpg msi npy npz nupkg o obj odp ods odt ogg onnx opus otf parquet pcap
    pdb pdf pickle pkl png ppt pptx psd pt pth pyc pyd pyo rar rlib rpm safetensors snap so
    sqlite sqlite-shm sqlite-wal sqlite3 swf tar tbz2 tflite tgz tif tiff ttc ttf txz vhd vmdk
    wasm wav webm webp whl wma wmv woff woff2 xls xlsx xz zip zst"""
BINARY_SUFFIXES = frozenset(_BINARY.split())
"""Without the dot, lower case: what has one of these is not opened."""
