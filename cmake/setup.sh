# Sourced, from the top of the source tree, by reproduce, check and .ci/run. Two functions: install_packages, build.

lowvar_packages=(
  g++ cmake ninja-build ccache
  libxtensor-dev libxtensor-blas-dev libopenblas-openmp-dev librandom123-dev
  libcli11-dev libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libxxhash-dev
  libopenmpi-dev openmpi-bin
  libmujoco-dev libbox2d-dev libglpk-dev
  zlib1g-dev cc65 libretro-nestopia efp
  libgtest-dev libbenchmark-dev
  python3 python3-numpy python3-matplotlib
)

say() { printf '%s\n' "$*" >&2; }

# install_packages [EXTRA...]: installs those Debian packages that are missing; silent and offline where none is.
install_packages() {
  local wanted=("${lowvar_packages[@]}" "$@") missing=() as_root=() installed package
  installed=$(dpkg-query -W -f='<${Package}:${db:Status-Status}>\n' "${wanted[@]}" 2>/dev/null) || true
  for package in "${wanted[@]}"; do
    [[ $installed == *"<$package:installed>"* ]] || missing+=("$package")
  done
  if ((${#missing[@]})); then
    local log=build/setup.log
    mkdir -p build
    say "Installing ${missing[*]}"
    ((EUID == 0)) || as_root=(sudo)
    if ! apt_install "${missing[@]}" >"$log" 2>&1; then
      tail -n 5 "$log" >&2
      say "These packages are missing and could not be installed: ${missing[*]}. Please run, as root:" \
          "apt-get update && apt-get install --no-install-recommends ${missing[*]}"
      exit 2
    fi
  fi
}

# apt_install PACKAGES: reads as_root.
apt_install() {
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -y)
  "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"
}

# build PRESET [TARGET...]: configures where needed, then builds. The output goes to build/PRESET/build.log.
build() {
  local preset=$1 directory=build/$1 targets=() status=0 start=$SECONDS
  shift
  local log=$directory/build.log
  if (($#)); then targets=(--target "$@"); fi
  mkdir -p "$directory"
  { configure && NINJA_STATUS='[%f/%t] ' cmake --build --preset "$preset" "${targets[@]}"; } 2>&1 |
    tee "$log" | show_progress "Building $directory" || status=$?
  if ((status)); then
    tail -n 30 "$log" >&2
    say "Building $directory failed; the whole output is in $PWD/$log"
    exit 1
  fi
  say "Built $directory in $((SECONDS - start)) s"
}

# Reads preset and directory. Ninja sees changed CMake files by itself; it does not see presets and packages change.
configure() {
  local stamp=$directory/configured
  if [[ -f $directory/build.ninja && $stamp -nt CMakePresets.json && $stamp -nt /var/lib/dpkg/status ]]; then return; fi
  cmake --preset "$preset" && touch "$stamp"
}

# One line on a terminal, rewritten with every [done/total] of Ninja; without a terminal only the title.
show_progress() {
  local line
  if [[ -t 2 ]]; then
    printf '%s ' "$1" >&2
    while IFS= read -r line; do
      if [[ $line =~ ^\[[0-9]+/[0-9]+\] ]]; then printf '\r%s %s ' "$1" "${BASH_REMATCH[0]}" >&2; fi
    done
    printf '\r\033[K' >&2
  else
    say "$1"
    cat >/dev/null
  fi
}
