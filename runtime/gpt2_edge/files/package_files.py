"""The files of a package on their way into ONNX Runtime: what is hashed is what is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gpt2_edge.errors import PackageError
from gpt2_edge.files.attention_graph import attention_graph
from gpt2_edge.files.file_state import FileState, file_state
from gpt2_edge.files.onnx_file import OnnxFile, read_onnx
from gpt2_edge.files.package_folder import Package, size_inside
from gpt2_edge.files.prompt_graph import prompt_graph
from gpt2_edge.files.protobuf import OnnxFileError

# Graphs up to this size are read once, and hashed and loaded as the same bytes. Of larger ones
# that would be a second copy: 81 MB more at the peak, for a 124M int4 model.
_IN_MEMORY = 16 << 20


class PackageFiles:
    """What a session reads of `package`.

    Raises PackageError where a graph cannot be read; `graphs` only looks at what they say.
    """

    def __init__(self, package: Package) -> None:
        self._package = package
        self._contents: dict[str, bytes] = {}
        for name in package.graph_files:
            if size_inside(package.folder, name) <= _IN_MEMORY:
                self._contents[name] = package.read(name, _IN_MEMORY, verify=False)
        self._states = {name: self._state(name) for name in package.manifest.files}

    def source(self, name: str) -> bytes | str:
        """The graph file `name` as ONNX Runtime takes it: its content, or its path."""
        return self._contents.get(name, str(self._package.folder / name))

    def graphs(self) -> dict[str, OnnxFile]:
        """What the graph files say of themselves, every file with weights being listed.

        Raises PackageError.
        """
        return {name: self._graph(name) for name in self._package.graph_files}

    def states(self, names: Iterable[str]) -> dict[str, FileState]:
        """What the system said of the files `names` before anything of them was read."""
        return {name: self._states[name] for name in names}

    def attention_graph(self) -> bytes:
        """The graph as one that gives attention's weights; large tensors stay in the files.

        To be called behind `graphs`, which says where the weights are. Raises PackageError.
        """
        graph = self._package.manifest.graph
        layers = range(self._package.manifest.architecture.num_layers)
        past_keys = [graph.names.past(layer)[0] for layer in layers]
        content = self._contents.get(graph.file)
        with self._errors(graph.file):
            if content is not None:
                return attention_graph(content, past_keys)
            with self._package.model_path.open("rb") as file:
                return attention_graph(file, past_keys, graph.file)

    def prompt_graph(self, unsigned: bool = False) -> bytes:
        """The graph as one that reads prompts faster; what stays as it is may stay in the files.

        unsigned: the form of its weights, see IntegerProducts. To be called behind `graphs`. Raises
        PackageError, also where there is no such graph.
        """
        graph = self._package.manifest.graph
        content = self._contents.get(graph.file)
        with self._errors(graph.file):
            if content is not None:
                return prompt_graph(content, self._part, unsigned=unsigned)
            with self._package.model_path.open("rb") as file:
                return prompt_graph(file, self._part, graph.file, unsigned=unsigned)

    def _part(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of the listed file `name`."""
        if name not in self._package.manifest.files or not 0 <= offset <= offset + length:
            raise OnnxFileError(f"a tensor lies in {name!r}, which is no file of the package")
        size = self._package.manifest.files[name].bytes
        if offset + length > size:
            raise OnnxFileError(f"a tensor lies behind the end of {name}")
        with (self._package.folder / name).open("rb") as file:
            file.seek(offset)
            content = file.read(length)
        if len(content) != length:
            raise OnnxFileError(f"{name} is cut short")
        return content

    def check_hashes(self, names: Iterable[str]) -> None:
        """Compare the SHA-256 of the files `names` with the manifest; PackageError."""
        for name in names:
            content = self._contents.get(name)
            if content is None:
                self._package.check_hashes([name])
            else:
                self._package.check_content(name, content)

    def check_unchanged(self, names: Iterable[str]) -> None:
        """Raise PackageError if one of the files `names` was written or replaced meanwhile.

        That is, since this object was made; of those that are read twice, to be hashed and by ONNX
        Runtime.
        """
        for name in names:
            if name not in self._contents and self._state(name) != self._states[name]:
                raise PackageError(
                    f"{self._package.folder / name} was changed while it was loaded; load it again"
                )

    def _graph(self, name: str) -> OnnxFile:
        with self._errors(name):
            if name in self._contents:
                graph = read_onnx(self._contents[name])
            else:
                with (self._package.folder / name).open("rb") as file:
                    graph = read_onnx(file)
        self._package.check_weights(name, graph.weight_files)
        if graph.weight_files:  # which ONNX Runtime looks for beside the file
            self._contents.pop(name, None)
        return graph

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """What is raised over the graph file `name`, as PackageError."""
        path = self._package.folder / name
        try:
            yield
        except OnnxFileError as error:
            raise PackageError(
                f"{path} cannot be loaded: {error}; export the package again"
            ) from error
        except OSError as error:
            raise PackageError(f"{path} cannot be read ({error.strerror})") from error

    def _state(self, name: str) -> FileState:
        return file_state(self._package.folder / name)
