// Entry of clang's libFuzzer (run.sh). NTM_FUZZ_TARGET names the decoder.
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.hpp"

namespace {
const ntm::fuzz::Target* chosen() {
  const char* name = std::getenv("NTM_FUZZ_TARGET");
  const ntm::fuzz::Target* target = ntm::fuzz::find_target(name ? name : "");
  if (target) return target;
  std::fprintf(stderr, "NTM_FUZZ_TARGET must be one of:");
  for (const ntm::fuzz::Target& one : ntm::fuzz::targets()) std::fprintf(stderr, " %s", one.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ntm::fuzz::Target* const target = chosen();
  target->run({data, size});
  return 0;
}
