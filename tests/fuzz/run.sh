#!/bin/sh
# Fuzzes every decoder with clang's libFuzzer under AddressSanitizer and UBSan.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]     SECONDS for each target; all targets by default
#
# Builds in NTM_FUZZ_BUILD (build/fuzz by default). What is learnt stays in its corpus/ there and
# is used by the next run; an input that breaks something is written to findings/ there: copy it
# to tests/fuzz/corpus/TARGET/ with the correction, so that every build replays it.
set -eu

seconds=${1:?usage: tests/fuzz/run.sh SECONDS [TARGET...]}
shift
source=$(cd "$(dirname "$0")/../.." && pwd)
build=${NTM_FUZZ_BUILD:-$source/build/fuzz}
command -v clang++-14 >/dev/null || { echo "run.sh: install clang-14 libclang-rt-14-dev" >&2; exit 1; }

mkdir -p "$build"
flags="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DNTM_LIBFUZZER=ON \
  -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
  -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" >"$build/configure.log" 2>&1 ||
  { cat "$build/configure.log" >&2; exit 1; }
ninja -C "$build" ntm_fuzz

[ $# -gt 0 ] || set -- $(ls "$source/tests/fuzz/corpus")
failed=
for target in "$@"; do
  seeds=$source/tests/fuzz/corpus/$target
  [ -d "$seeds" ] || { echo "run.sh: no target $target" >&2; exit 1; }
  mkdir -p "$build/corpus/$target" "$build/findings"
  log=$build/findings/$target.log
  if NTM_FUZZ_TARGET=$target "$build/bin/ntm_fuzz" -max_total_time="$seconds" -max_len=4096 \
    -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/findings/$target-" "$build/corpus/$target" "$seeds" >"$log" 2>&1
  then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs, nothing found"
  else
    echo "$target: BROKEN, see $log"
    tail -n 25 "$log"
    failed="$failed $target"
  fi
done
[ -z "$failed" ] || { echo "run.sh: broken:$failed" >&2; exit 1; }
