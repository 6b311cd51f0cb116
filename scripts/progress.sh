# Sourced by the scripts in this folder: progress with elapsed time, errors that say what to do,
# and the two steps all of them begin with (packages, build).
ntm_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ntm_started=${NTM_STARTED:-$(date +%s%N)}
export NTM_STARTED=$ntm_started

say() {
  local ms=$((($(date +%s%N) - ntm_started) / 1000000))
  printf '[%4d.%d s] %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "run it as root (it $1)"
}

ensure_packages() {
  "$ntm_root/scripts/setup" --check >/dev/null && return
  "$ntm_root/scripts/setup" || exit 1
}

# build PRESET [TARGET…]: configures when needed, builds with all processors.
build() {
  local preset=$1 log
  shift
  log=$ntm_root/build/$preset.log
  mkdir -p "$ntm_root/build"
  say "building $preset ($(nproc) jobs; all output in build/$preset.log)"
  (cd "$ntm_root" && cmake --preset "$preset") >"$log" 2>&1 ||
    { tail -30 "$log" >&2; die "the build cannot be configured, see build/$preset.log"; }
  (cd "$ntm_root" && cmake --build --preset "$preset" -j "$(nproc)" ${1:+--target "$@"}) 2>&1 |
    tee -a "$log" | progress_of_ninja
  [ "${PIPESTATUS[0]}" = 0 ] ||
    { grep -E -A12 'error|FAILED|undefined reference' "$log" | head -60 >&2
      die "the build failed, see build/$preset.log"; }
  say "built $preset"
}

# One line each five seconds instead of hundreds: "[120/340] Building …".
progress_of_ninja() {
  local line shown=$SECONDS
  while IFS= read -r line; do
    if [[ $line == \[* ]] && ((SECONDS - shown >= 5)); then
      say "  ${line:0:90}"
      shown=$SECONDS
    fi
  done
}
