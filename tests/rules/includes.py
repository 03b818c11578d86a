"""The rooms' include table: what each room may include, from architecture to arrow. core names no backend, kernels know no ABI, plugins never see core.
Looks at #include lines and string literals alone; what a room links is the export rule's business."""
import pathlib
import posixpath
import re

import rule

STD_C = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib
string tgmath time uchar wchar wctype""".split()
STD_CXX = """algorithm any array atomic barrier bit bitset cassert ccomplex cctype cerrno cfenv cfloat charconv chrono cinttypes climits clocale cmath codecvt
compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cuchar cwchar cwctype deque
exception execution filesystem forward_list fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale
map memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore set shared_mutex
source_location span sstream stack stdexcept stop_token streambuf string string_view strstream syncstream system_error thread tuple type_traits typeindex
typeinfo unordered_map unordered_set utility valarray variant vector version""".split()
STD = {name + ".h" for name in STD_C} | set(STD_CXX)
# POSIX and glibc, besides sys/*.
SYSTEM = {"dirent.h", "dlfcn.h", "elf.h", "fcntl.h", "fnmatch.h", "ftw.h", "glob.h", "grp.h", "libgen.h", "link.h", "poll.h", "pthread.h", "pwd.h", "sched.h",
          "spawn.h", "strings.h", "unistd.h"}
INTRINSICS = {"immintrin.h", "cpuid.h"}

# The include table. Key: a path's prefix, the longest that fits decides. Values: "std", "system", a header's prefix in angle brackets, or a room
# (a path's prefix ending in /) whose files may be included. Own files are always allowed: the key itself.
SDK = ["rocforge/plugin.h", "rocforge/plugin.hpp", "rocforge/slots.h"]
HOST_API = SDK + ["rocforge/rocforge.h", "rocforge/rocforge.hpp"]
CORE = ["std", "system", "core/src/", "core/text/", "fmt/"] + SDK + HOST_API
TABLE = {
    "sdk/": ["std"] + SDK,
    "sdk/conformance/": ["std", "system"] + SDK,
    "sdk/template/hip/": ["std", "hip/"] + SDK,
    "core/include/": ["std"] + HOST_API,
    "core/src/": CORE,
    "core/text/": ["std", "system", "fmt/"],
    "core/src/config": CORE + ["toml++/"],
    "core/src/loader": CORE + ["boost/dll"],
    "core/src/log": CORE + ["spdlog/"],
    "core/src/threads": CORE + ["tbb/", "oneapi/tbb"],
    "core/cli/": ["std", "system", "core/text/", "fmt/", "CLI/", "nlohmann/", "sdk/conformance/"] + HOST_API,
    "core/cli/peak_loops": ["std", "system", "hwy/", "intrinsics", "core/cli/"],
    "kernels/": ["std", "kernels/"],
    "kernels/platform/": ["std", "system", "kernels/", "hip/", "cuda"],
    "plugins/": ["std", "system", "kernels/", "plugins/adapter/"] + SDK,
    "plugins/adapter/": ["std", "kernels/"] + SDK,
    "plugins/cpu/": ["std", "system", "kernels/", "plugins/adapter/", "hwy/", "intrinsics"] + SDK,
    "examples/": ["std", "system"] + HOST_API,
}

# Names of backends that core may not know. "cpu" is missing on purpose: it is a device kind's word (--device cpu).
BACKENDS = {"flash_attention", "gpu"}


def room_of(path):
    return max((prefix for prefix in TABLE if path.startswith(prefix)), key=len)


def home(prefix):
    """The folder that a row's own files lie in: a plugin's own folder, not its siblings'."""
    return prefix if prefix.endswith("/") else posixpath.dirname(prefix) + "/"


def own_files(path):
    parts = path.split("/")
    return "/".join(parts[:2]) + "/" if parts[0] in ("plugins", "examples") and len(parts) > 2 else home(room_of(path))


def resolve(root, path, name):
    """The repository file that an include means, or None: quoted names from the includer's folder and from the root, as the compiler looks."""
    for start in (posixpath.dirname(path), "", "core", "core/src", "core/cli", "sdk", "kernels", own_files(path)):
        candidate = posixpath.normpath(posixpath.join(start, name))
        if (pathlib.Path(root) / candidate).is_file():
            return candidate
    return None


def allowed(root, path, name):
    if name.endswith((".c", ".cc", ".cpp", ".cxx")):  # a file that is compiled itself
        return False
    granted = TABLE[room_of(path)]
    if name in STD:
        return "std" in granted
    if name in SYSTEM or name.startswith("sys/"):
        return "system" in granted
    if name in INTRINSICS:
        return "intrinsics" in granted
    if any(name == grant or (name.startswith(grant) and grant not in HOST_API) for grant in granted):
        return not name.endswith("/..") and ".." not in name
    target = resolve(root, path, name)
    if target is None:
        return False
    return target.startswith(own_files(path)) or any(grant.endswith("/") and target.startswith(grant) for grant in granted)


def named_backends(path, text):
    """String literals of core that spell a backend's name."""
    for kind, body, line in rule.tokens(text):
        if kind == "string" and BACKENDS & set(re.findall(r"[a-z0-9_]+", body)):
            yield f"{path}:{line}: core names a backend: {body}"


def check(root):
    violations = []
    for room in ("sdk", "core", "kernels", "plugins", "examples"):
        for path, text in rule.sources(root, room):
            for number, line in enumerate(rule.without_comments(text).split("\n"), 1):
                include = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
                if include and not allowed(root, path, include.group(1)):
                    violations.append(f"{path}:{number}: {room_of(path)} may not include {include.group(1)}")
            if room == "core":
                violations += named_backends(path, text)
    return violations


CLEAN = {
    "sdk/include/rocforge/plugin.h": "#include <stdint.h>\n",
    "core/include/rocforge/rocforge.h": "#include <rocforge/plugin.h>\n",
    "core/src/config.cpp": '#include "config.hpp"\n#include <toml++/toml.h>\n#include <vector>\n#include <sys/stat.h>\n// the name "gpu" in a comment\n',
    "core/src/config.hpp": 'inline const char* kind = "cpu";\n',
    "core/cli/main.cpp": "#include <CLI/CLI.hpp>\n#include <rocforge/rocforge.h>\n",
    "kernels/common/mask.h": "#include <cmath>\n",
    "kernels/flash/tile.h": '#include "kernels/common/mask.h"\n',
    "kernels/platform/hip.h": "#include <hip/hip_runtime.h>\n",
    "plugins/cpu/plugin.cpp": '#include <rocforge/plugin.hpp>\n#include <hwy/highway.h>\n#include "kernels/common/mask.h"\n#include "math.hpp"\n',
    "plugins/cpu/math.hpp": "#include <immintrin.h>\n",
    "plugins/adapter/limits.h": "#include <rocforge/plugin.hpp>\n",
    "plugins/other/plugin.cpp": '#include "plugins/adapter/limits.h"\n',
    "examples/host_c/main.c": "#include <rocforge/rocforge.h>\n",
}
PLANTS = [
    ("sdk sees core", {"sdk/include/rocforge/plugin.h": "#include <rocforge/rocforge.h>\n"}, "sdk/ may not include rocforge/rocforge.h"),
    ("sdk sees Boost", {"sdk/template/a.cpp": "#include <boost/dll.hpp>\n"}, "sdk/ may not include boost/dll.hpp"),
    ("the conformance kit sees core", {"sdk/conformance/a.cpp": "#include <rocforge/rocforge.h>\n"}, "sdk/conformance/ may not include rocforge/rocforge.h"),
    ("the SDK besides its kit sees POSIX", {"sdk/include/rocforge/a.h": "#include <unistd.h>\n"}, "sdk/ may not include unistd.h"),
    ("core sees a kernel", {"core/src/a.cpp": '#include "kernels/common/mask.h"\n'}, "core/src/ may not include kernels/common/mask.h"),
    ("core sees HIP", {"core/src/a.cpp": "#include <hip/hip_runtime.h>\n"}, "core/src/ may not include hip/hip_runtime.h"),
    ("core sees a plugin", {"core/src/a.cpp": '#include "../../plugins/cpu/math.hpp"\n'}, "core/src/ may not include ../../plugins/cpu/math.hpp"),
    ("toml++ outside config", {"core/src/a.cpp": "#include <toml++/toml.h>\n"}, "core/src/ may not include toml++/toml.h"),
    ("spdlog outside log", {"core/src/config.hpp": "#include <spdlog/spdlog.h>\n"}, "core/src/config may not include spdlog/spdlog.h"),
    ("the program sees core's inside", {"core/cli/main.cpp": '#include "../src/config.hpp"\n'}, "core/cli/ may not include ../src/config.hpp"),
    ("the texts see core", {"core/text/text.cpp": '#include "core/src/config.hpp"\n'}, "core/text/ may not include core/src/config.hpp"),
    ("the program sees core's inside by search path", {"core/cli/main.cpp": '#include "src/config.hpp"\n'}, "core/cli/ may not include src/config.hpp"),
    ("a kernel sees the ABI", {"kernels/flash/a.h": "#include <rocforge/plugin.h>\n"}, "kernels/ may not include rocforge/plugin.h"),
    ("HIP outside platform", {"kernels/flash/a.h": "#include <hip/hip_runtime.h>\n"}, "kernels/ may not include hip/hip_runtime.h"),
    ("a plugin sees core", {"plugins/cpu/a.cpp": "#include <rocforge/rocforge.h>\n"}, "plugins/cpu/ may not include rocforge/rocforge.h"),
    ("a plugin sees another", {"plugins/other/a.cpp": '#include "../cpu/math.hpp"\n'}, "plugins/ may not include ../cpu/math.hpp"),
    ("what plugins share sees one of them", {"plugins/adapter/a.cpp": '#include "plugins/cpu/math.hpp"\n'}, "plugins/adapter/ may not include plugins/cpu/math.hpp"),
    ("a plugin climbs out of an allowed prefix", {"plugins/cpu/a.cpp": '#include "kernels/../core/src/config.hpp"\n'}, "kernels/../core/src/config.hpp"),
    ("a plugin sees HIP", {"plugins/cpu/a.cpp": "#include <hip/hip_runtime.h>\n"}, "plugins/cpu/ may not include hip/hip_runtime.h"),
    ("the program sees Highway outside its loops", {"core/cli/main.cpp": "#include <hwy/highway.h>\n"}, "core/cli/ may not include hwy/highway.h"),
    ("Highway outside cpu", {"plugins/other/a.cpp": "#include <hwy/highway.h>\n"}, "plugins/ may not include hwy/highway.h"),
    ("an example sees core's inside", {"examples/host_c/main.c": '#include "core/src/config.hpp"\n'}, "examples/ may not include core/src/config.hpp"),
    ("a source file as a header", {"plugins/cpu/a.cpp": '#include "plugin.cpp"\n'}, "plugins/cpu/ may not include plugin.cpp"),
    ("an unknown library", {"core/src/a.cpp": "#include <zlib.h>\n"}, "core/src/ may not include zlib.h"),
    ("core names a backend", {"core/src/a.cpp": 'auto* b = "flash_attention";\n'}, "core names a backend"),
    ("core names a backend in a longer text", {"core/cli/a.cpp": 'auto* b = "try --backend gpu";\n'}, "core names a backend"),
]

if __name__ == "__main__":
    rule.main(check, CLEAN, PLANTS)
