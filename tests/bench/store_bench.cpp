// How many moves a second the SQLite store takes, by batch size, and how long one waits.
//
//   store_bench FOLDER [TERMINALS] [SECONDS]      FOLDER must be empty or missing
//
// A "move" is a PutLocation of a random terminal. Each size runs for SECONDS with a full window of
// batches in flight (16); the time is from submit() to the completion in hand. Medians over such
// runs belong to the caller: this prints one round.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>

#include "libntm/store/sqlite/sqlite_store.hpp"

namespace {

using namespace ntm;
using namespace ntm::store;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void stop_unless(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "store_bench: %s\n", what.c_str());
  std::exit(1);
}

void apply(Store& store, std::vector<Operation> items) {
  Completion done = store.submit_and_wait(Batch{std::move(items), false, {}}, seconds(120));
  for (const ItemResult& item : done.items)
    stop_unless(item.outcome == Outcome::Applied, item.reason);
}

void populate(Store& store, std::uint64_t terminals) {
  Zone zone;
  zone.id = {1};
  zone.apex = *Name::parse("bench.example");
  apply(store, {PutZone{zone}});
  std::vector<Operation> items;
  for (std::uint64_t n = 1; n <= terminals; ++n) {
    Terminal terminal;
    terminal.id = {n};
    terminal.zone = {1};
    terminal.name = *Name::parse("terminal-" + std::to_string(n) + ".bench.example");
    Ipv6 address = parse_address("fd00:1:2::")->v6();
    for (int i = 0; i < 4; ++i) address.raw[15 - i] = static_cast<Byte>(n >> (8 * i));
    terminal.virtual_addresses.v6 = address;
    PublicKey key;
    std::memcpy(key.raw.data(), &n, sizeof n);
    terminal.key = key;
    items.push_back(CreateTerminal{terminal});
    if (items.size() == 4096 || n == terminals) apply(store, std::exchange(items, {}));
  }
}

Location moved(std::uint64_t terminal, std::uint64_t counter) {
  Location location;
  location.terminal = {terminal};
  location.counter = counter;
  location.v4.real = Ipv4::from_u32(static_cast<std::uint32_t>(counter));
  location.v4.real_port = 4000;
  location.v4.outside = {Ipv4::from_u32(0xcb007101u), 61000};
  location.v4.behind_nat = true;
  location.v6.real = *parse_address("2001:db8:1:2:3:4:5:6");
  location.v6.real_port = 4000;
  location.v6.outside = {location.v6.real, 4000};
  return location;
}

class Run {
 public:
  Run(Store& store, std::uint64_t terminals, std::uint64_t first_counter)
      : store_(store), terminals_(terminals), counter_(first_counter) {
    store_.set_wakeup([this] {
      std::lock_guard<std::mutex> guard(lock_);
      woken_ = true;
      changed_.notify_one();
    });
  }
  ~Run() { store_.set_wakeup({}); }

  void go(std::size_t size, double length) {
    Clock::time_point start = Clock::now();
    std::uint64_t moves = 0;
    std::vector<double> waits;
    while (seconds_since(start) < length || !flying_.empty()) {
      while (seconds_since(start) < length) {
        std::optional<BatchId> id = store_.submit(next_batch(size));
        if (!id) break;
        flying_[*id] = Clock::now();
      }
      sleep_until_woken();
      moves += collect(waits);
    }
    std::printf("batches of %3zu: %8.0f moves/s   ", size,
                static_cast<double>(moves) / seconds_since(start));
    print(waits);
  }
  // An even load: a batch each millisecond, sent whether or not the last ones are answered. What
  // finds no room in the window is counted as refused.
  void offer(std::size_t moves_a_second, double length) {
    constexpr std::chrono::milliseconds kTick(1);
    std::size_t size = moves_a_second / 1000;
    std::vector<double> waits;
    std::uint64_t refused = 0;
    Clock::time_point start = Clock::now();
    for (Clock::time_point tick = start + kTick; seconds_since(start) < length;) {
      {
        std::unique_lock<std::mutex> guard(lock_);
        changed_.wait_until(guard, tick, [this] { return woken_; });
        woken_ = false;
      }
      collect(waits);
      for (; Clock::now() >= tick; tick += kTick) {
        std::optional<BatchId> id = store_.submit(next_batch(size));
        refused += id ? 0 : size;
        if (id) flying_[*id] = tick;
      }
    }
    std::printf("offered %zu moves/s: refused %llu   ", moves_a_second,
                static_cast<unsigned long long>(refused));
    print(waits);
    while (!flying_.empty()) {
      sleep_until_woken();
      collect(waits);
    }
  }
  std::uint64_t counter() const { return counter_; }

 private:
  std::uint64_t collect(std::vector<double>& waits) {
    std::uint64_t moves = 0;
    for (const Completion& completion : store_.completions()) {
      waits.push_back(seconds_since(flying_.at(completion.batch)));
      flying_.erase(completion.batch);
      for (const ItemResult& item : completion.items) moves += item.outcome == Outcome::Applied;
    }
    return moves;
  }
  static void print(std::vector<double>& waits) {
    std::sort(waits.begin(), waits.end());
    std::printf("wait p50 %6.2f ms  p99 %6.2f ms  max %6.2f ms\n", waits[waits.size() / 2] * 1e3,
                waits[waits.size() * 99 / 100] * 1e3, waits.back() * 1e3);
  }
  Batch next_batch(std::size_t size) {
    Batch batch;
    for (std::size_t n = 0; n < size; ++n)
      batch.items.push_back(PutLocation{moved(1 + random_() % terminals_, ++counter_)});
    return batch;
  }
  void sleep_until_woken() {
    std::unique_lock<std::mutex> guard(lock_);
    changed_.wait(guard, [this] { return woken_; });
    woken_ = false;
  }

  Store& store_;
  std::uint64_t terminals_;
  std::uint64_t counter_;
  std::mt19937_64 random_{1};
  std::map<BatchId, Clock::time_point> flying_;
  std::mutex lock_;
  std::condition_variable changed_;
  bool woken_ = false;
};

std::unique_ptr<sqlite::SqliteStore> open(const std::string& folder, const char* what) {
  sqlite::OpenOptions options;
  options.directory = folder;
  Clock::time_point start = Clock::now();
  Result<std::unique_ptr<sqlite::SqliteStore>> store = sqlite::SqliteStore::open(options);
  stop_unless(store.has_value(), store ? "" : store.error().text);
  std::printf("%s: %.3f s\n", what, seconds_since(start));
  return std::move(*store);
}

}  // namespace

int main(int argc, char** argv) {
  stop_unless(argc >= 2, "usage: store_bench FOLDER [TERMINALS] [SECONDS]");
  std::uint64_t terminals = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100'000;
  double length = argc > 3 ? std::atof(argv[3]) : 5;
  stop_unless(terminals > 0 && length > 0, "TERMINALS and SECONDS are greater than zero");
  std::unique_ptr<sqlite::SqliteStore> store = open(argv[1], "open, new");
  Clock::time_point start = Clock::now();
  populate(*store, terminals);
  std::printf("%llu terminals created: %.1f s\n", static_cast<unsigned long long>(terminals),
              seconds_since(start));
  std::uint64_t counter = 0;
  for (std::size_t size : {1, 64, 256}) {
    Run run(*store, terminals, counter);
    run.go(size, length);
    counter = run.counter();
  }
  {
    Run run(*store, terminals, counter);
    run.offer(5000, length);
  }
  start = Clock::now();
  store.reset();
  std::printf("close: %.3f s\n", seconds_since(start));
  open(argv[1], "open, every page checked");
  return 0;
}
