// What the DNS says about a name: ordinary rows and derived records of a Store, put together.
//
// No PowerDNS types here, so all of it is tested without a server; adapter.cpp translates. Three
// promises: "could not ask" is an error and never an empty answer; an answer, and a listing, comes
// from one snapshot of the store; an answer that is remembered is given again only while the
// store's data_version is the one it was read under, so it is never older than a commit that was
// acknowledged before the question.
//
// One object belongs to one thread at a time, like the reader inside it. The reader is opened at
// the first question and again after a failure, so a server may start before its database exists
// and goes on answering after the database came back.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pdns-backend/derived_records.hpp"

namespace ntm::pdns_backend {

// One question makes PowerDNS look up its zone's apex, the name twice, and for a name that is
// absent a wildcard and its encloser.
constexpr std::size_t kRememberedNames = 4;

struct Found {
  std::optional<store::Zone> zone;  // the zone asked in; none: we serve no such zone
  // All types at the name. One row of type 0: it exists and has none. Empty: it doesn't exist.
  std::vector<Answer> rows;
};

class Answers {
 public:
  using OpenReader = std::function<Result<std::unique_ptr<store::Reader>>()>;
  explicit Answers(OpenReader open) : open_(std::move(open)) {}

  // In the zone, or without one in the zone with the longest matching apex.
  Result<std::shared_ptr<const Found>> at(std::optional<store::ZoneId> zone, const Name& name);

  // Every record of the zone at or below `top`. `top` = the apex: the whole zone, as for AXFR.
  Result<std::vector<Answer>> listing(store::ZoneId zone, const Name& top, bool include_disabled);

  Result<std::vector<store::Zone>> zones();
  Result<std::optional<store::Zone>> zone_by_apex(const Name& apex);
  // The zone that a name belongs to, and its SOA row as served; none: not ours.
  struct Authority {
    store::Zone zone;
    Answer soa;
  };
  Result<std::optional<Authority>> authority(const Name& name);

 private:
  struct Remembered {
    std::uint64_t version = 0;
    std::optional<store::ZoneId> zone;
    Name name;
    std::shared_ptr<const Found> found;
  };

  // Runs `ask` on the reader; opens it first, and once more when it turns out to be broken.
  template <typename T, typename Ask>
  Result<T> asking(Ask ask);
  Result<std::shared_ptr<const Found>> look(store::Reader& reader, std::optional<store::ZoneId> id,
                                            const Name& name);

  OpenReader open_;
  std::unique_ptr<store::Reader> reader_;
  std::array<Remembered, kRememberedNames> remembered_;
  std::size_t next_slot_ = 0;
};

}  // namespace ntm::pdns_backend
