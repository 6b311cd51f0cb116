// The fuzz targets without a fuzzer, in the ordinary build: the whole corpus, and from it a fixed
// number of mutations with a fixed seed, so that a failure here is the same on every machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/targets.hpp"

namespace ntm::fuzz {
namespace {

constexpr int kMutations = 200000;
constexpr std::size_t kMaxInput = 4096;

std::vector<Bytes> corpus(const std::string& target) {
  std::vector<std::filesystem::path> paths;
  for (const std::filesystem::directory_entry& entry :
       std::filesystem::directory_iterator(NTM_SOURCE_DIR "/tests/fuzz/corpus/" + target))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> out;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return out;
}

// splitmix64: the same numbers on every library.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t below(std::uint64_t bound) {
    std::uint64_t x = state_ += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return (x ^ (x >> 31)) % bound;
  }

 private:
  std::uint64_t state_;
};

using Offset = Bytes::difference_type;

void change(Bytes& bytes, const std::vector<Bytes>& seeds, Numbers& numbers) {
  static constexpr Byte kAwkward[] = {0, 1, 2, 3, 4, 6, 7, 0x10, 0x7f, 0x80, 0xc0, 0xfe, 0xff,
                                      '.', ':', '\\', '"', '\n'};
  std::size_t at = numbers.below(bytes.size() + 1);
  Offset here = static_cast<Offset>(at);
  std::uint64_t what = numbers.below(8);
  if (what == 0) {  // insert
    bytes.insert(bytes.begin() + here, 1 + numbers.below(4),
                 kAwkward[numbers.below(std::size(kAwkward))]);
  } else if (what == 1) {  // another seed's tail
    const Bytes& other = seeds[numbers.below(seeds.size())];
    Offset from = static_cast<Offset>(numbers.below(other.size() + 1));
    bytes.resize(at);
    bytes.insert(bytes.end(), other.begin() + from, other.end());
  } else if (at == bytes.size()) {
    bytes.push_back(static_cast<Byte>(numbers.below(256)));
  } else if (what == 2) {  // cut out
    std::size_t count = std::min<std::size_t>(1 + numbers.below(8), bytes.size() - at);
    bytes.erase(bytes.begin() + here, bytes.begin() + here + static_cast<Offset>(count));
  } else if (what == 3) {  // say it twice
    Bytes part(bytes.begin() + here,
               bytes.begin() + here +
                   static_cast<Offset>(std::min<std::size_t>(1 + numbers.below(40),
                                                             bytes.size() - at)));
    bytes.insert(bytes.begin() + here, part.begin(), part.end());
  } else if (what == 4) {
    bytes[at] = kAwkward[numbers.below(std::size(kAwkward))];
  } else if (what == 5) {
    bytes[at] = static_cast<Byte>(numbers.below(256));
  } else {
    bytes[at] ^= static_cast<Byte>(1 << numbers.below(8));
  }
  if (bytes.size() > kMaxInput) bytes.resize(kMaxInput);
}

class Replay : public ::testing::TestWithParam<const Target*> {};

TEST_P(Replay, Corpus) {
  std::vector<Bytes> seeds = corpus(GetParam()->name);
  ASSERT_GE(seeds.size(), 4u);
  for (const Bytes& seed : seeds) GetParam()->run(seed);
  GetParam()->run({});
}

TEST_P(Replay, Mutations) {
  std::vector<Bytes> seeds = corpus(GetParam()->name);
  ASSERT_FALSE(seeds.empty());
  Numbers numbers(20130001);
  for (int round = 0; round < kMutations; ++round) {
    Bytes bytes = seeds[numbers.below(seeds.size())];
    for (std::uint64_t times = 1 + numbers.below(4); times > 0; --times)
      change(bytes, seeds, numbers);
    GetParam()->run(bytes);
  }
}

std::vector<const Target*> all() {
  std::vector<const Target*> out;
  for (const Target& target : targets()) out.push_back(&target);
  return out;
}
INSTANTIATE_TEST_SUITE_P(Fuzz, Replay, ::testing::ValuesIn(all()),
                         [](const ::testing::TestParamInfo<const Target*>& target) {
                           return std::string(target.param->name);
                         });

}  // namespace
}  // namespace ntm::fuzz
