// The PowerDNS module: Answers in the shape of a DNSBackend. The only file of the project that
// includes PowerDNS's headers, and the only one here that throws, because that is how a backend
// tells PowerDNS that it could not ask (the client then gets SERVFAIL, never NXDOMAIN).
//
// PowerDNS gives every thread instances of its own and never uses one from two threads at once, so
// nothing here is locked. Opening is lazy and cheap: one instance is made per zone transfer.
#include <dlfcn.h>

#include <iostream>
#include <string>

#include "dnsbackend.hh"
#include "dnsparser.hh"
#include "logger.hh"
#include "qtype.hh"

#include "libntm/store/sqlite/sqlite_store.hpp"
#include "libntm/wire/ntm_record.hpp"
#include "pdns-backend/answers.hpp"

namespace {

using ntm::Name;
using ntm::pdns_backend::Answer;
using ntm::pdns_backend::Answers;
using ntm::pdns_backend::Found;

// Any value but zero keeps a record out of PowerDNS's query cache; 32 tells a client that sent its
// subnet that the answer is for it alone.
constexpr std::uint8_t kScopeUncached = 32;

// The PowerDNS whose headers this is compiled against; cmake/FindPdnsSource.cmake.
constexpr const char* kRelease = NTM_PDNS_RELEASE;

// nullopt: a name that can't be in any zone of ours.
std::optional<Name> to_name(const DNSName& name) {
  if (name.empty()) return std::nullopt;
  const std::string wire = name.toDNSString();
  ntm::Result<Name> out = Name::from_wire(ntm::as_view(wire));
  if (!out) return std::nullopt;
  return *out;
}

DNSName to_dns_name(const Name& name) {
  const ntm::ByteView wire = name.wire();
  return DNSName(reinterpret_cast<const char*>(wire.data()), static_cast<int>(wire.size()), 0,
                 false);
}

[[noreturn]] void throw_could_not_ask(const ntm::Error& error) {
  throw DBException("ntmobile: " + error.text);
}

template <typename T>
T value_or_throw(ntm::Result<T> result) {
  if (!result) throw_could_not_ask(result.error());
  return std::move(*result);
}

DomainInfo::DomainKind to_kind(ntm::store::ZoneKind kind) {
  switch (kind) {
    case ntm::store::ZoneKind::Primary: return DomainInfo::Master;
    case ntm::store::ZoneKind::Secondary: return DomainInfo::Slave;
    case ntm::store::ZoneKind::Native: break;
  }
  return DomainInfo::Native;
}

class Backend final : public DNSBackend {
 public:
  explicit Backend(const std::string& suffix)
      : answers_([this]() { return ntm::store::sqlite::open_reader(directory_); }) {
    setArgPrefix("ntmobile" + suffix);
    directory_ = getArg("directory");
  }

  void lookup(const QType& type, const DNSName& name, int zone, DNSPacket*) override {
    forget_result();
    const std::optional<Name> wanted = to_name(name);
    if (!wanted) return;
    std::optional<ntm::store::ZoneId> id;
    if (zone >= 0) id = ntm::store::ZoneId{zone};
    found_ = value_or_throw(answers_.at(id, *wanted));
    if (!found_->zone) return;
    rows_ = &found_->rows;
    zone_id_ = found_->zone->id.value;
    type_ = type.getCode();
    asked_name_ = name;
  }

  bool list(const DNSName& apex, int zone, bool include_disabled) override {
    const std::optional<Name> top = to_name(apex);
    return top && start_listing(*top, zone, include_disabled);
  }

  bool listSubZone(const DNSName& top, int zone) override {
    const std::optional<Name> name = to_name(top);
    return name && start_listing(*name, zone, false);
  }

  bool get(DNSZoneRecord& out) override {
    const Answer* row = next_row();
    if (row == nullptr) return false;
    out.domain_id = zone_id_;
    out.scopeMask = row->derived ? kScopeUncached : 0;
    out.auth = row->auth;
    out.disabled = row->disabled;
    out.dr.d_name = asked_name_.empty() ? to_dns_name(row->name) : asked_name_;
    out.dr.d_type = row->type;
    out.dr.d_class = QClass::IN;
    out.dr.d_ttl = row->ttl;
    out.dr.d_content = content_of(out.dr.d_name, *row);
    return true;
  }

  bool get(DNSResourceRecord& out) override {
    DNSZoneRecord record;
    if (!get(record)) return false;
    out.qname = record.dr.d_name;
    out.qtype = QType(record.dr.d_type);
    out.qclass = QClass::IN;
    out.ttl = record.dr.d_ttl;
    out.domain_id = record.domain_id;
    out.scopeMask = record.scopeMask;
    out.auth = record.auth;
    out.disabled = record.disabled;
    out.content.clear();
    if (record.dr.d_type != QType::ENT) {
      out.content = record.dr.d_content->getZoneRepresentation(true);
    }
    return true;
  }

  // One question for the longest zone, where the default would ask for each label.
  bool getAuth(const DNSName& name, SOAData* soa) override {
    const std::optional<Name> wanted = to_name(name);
    if (!wanted) return false;
    const std::optional<Answers::Authority> authority = value_or_throw(answers_.authority(*wanted));
    if (!authority) return false;
    DNSZoneRecord record;
    record.domain_id = authority->zone.id.value;
    record.dr.d_name = to_dns_name(authority->zone.apex);
    record.dr.d_type = QType::SOA;
    record.dr.d_ttl = authority->soa.ttl;
    record.dr.d_content = content_of(record.dr.d_name, authority->soa);
    fillSOAData(record, *soa);
    soa->qname = record.dr.d_name;
    soa->db = this;
    return true;
  }

  bool getDomainInfo(const DNSName& zone, DomainInfo& out, bool) override {
    const std::optional<Name> apex = to_name(zone);
    if (!apex) return false;
    const std::optional<ntm::store::Zone> row = value_or_throw(answers_.zone_by_apex(*apex));
    if (!row) return false;
    out = domain_info(*row);
    return true;
  }

  void getAllDomains(std::vector<DomainInfo>* domains, bool, bool) override {
    for (const ntm::store::Zone& zone : value_or_throw(answers_.zones())) {
      domains->push_back(domain_info(zone));
    }
  }

  // No metadata is kept: every zone is a plain, unsigned one.
  bool getAllDomainMetadata(const DNSName&,
                            std::map<std::string, std::vector<std::string>>& out) override {
    out.clear();
    return true;
  }
  bool getDomainMetadata(const DNSName&, const std::string&,
                         std::vector<std::string>& out) override {
    out.clear();
    return true;
  }

 private:
  void forget_result() {
    found_.reset();
    listing_.clear();
    rows_ = nullptr;
    next_ = 0;
    type_ = QType::ANY;
    asked_name_ = DNSName();
  }

  bool start_listing(const Name& top, int zone, bool include_disabled) {
    forget_result();
    ntm::Result<std::vector<Answer>> rows =
        answers_.listing(ntm::store::ZoneId{zone}, top, include_disabled);
    if (!rows && rows.error().kind == ntm::ErrorKind::NotFound) return false;
    listing_ = value_or_throw(std::move(rows));
    rows_ = &listing_;
    zone_id_ = zone;
    return true;
  }

  const Answer* next_row() {
    while (rows_ != nullptr && next_ < rows_->size()) {
      const Answer& row = (*rows_)[next_++];
      if (type_ == QType::ANY || type_ == row.type) return &row;
    }
    forget_result();
    return nullptr;
  }

  std::shared_ptr<DNSRecordContent> content_of(const DNSName& owner, const Answer& row) {
    const std::string rdata(reinterpret_cast<const char*>(row.rdata.data()), row.rdata.size());
    try {
      return DNSRecordContent::deserialize(owner, row.type, rdata);
    } catch (const std::exception& problem) {
      forget_result();
      throw DBException("ntmobile: the store holds a malformed " + QType(row.type).toString() +
                        " record at " + owner.toLogString() + ": " + problem.what());
    }
  }

  DomainInfo domain_info(const ntm::store::Zone& zone) {
    DomainInfo out;
    out.id = static_cast<std::uint32_t>(zone.id.value);
    out.zone = to_dns_name(zone.apex);
    out.kind = to_kind(zone.kind);
    out.serial = zone.serial;
    out.notified_serial = zone.serial;
    out.backend = this;
    return out;
  }

  std::string directory_;
  Answers answers_;

  // The outstanding result: what lookup() found, or a listing.
  std::shared_ptr<const Found> found_;
  std::vector<Answer> listing_;
  const std::vector<Answer>* rows_ = nullptr;
  std::size_t next_ = 0;
  std::uint16_t type_ = QType::ANY;
  int zone_id_ = -1;
  DNSName asked_name_;  // the name as the question wrote it; empty while listing
};

class Factory final : public BackendFactory {
 public:
  Factory() : BackendFactory("ntmobile") {}
  void declareArguments(const std::string& suffix) override {
    declare(suffix, "directory", "Folder that holds the Direction Coordinator's dc.db",
            "/var/lib/ntmobile");
  }
  DNSBackend* make(const std::string& suffix) override { return new Backend(suffix); }
};

// "4.7" of "4.7.3": backend headers don't change inside a minor release, between them they do.
std::string minor_release(const std::string& version) {
  const std::size_t first = version.find('.');
  const std::size_t second = first == std::string::npos ? first : version.find('.', first + 1);
  return version.substr(0, second);
}

// PowerDNS's loader checks nothing: another release would call the wrong virtual functions.
// pdnsutil does not export its version; it comes from the same package as the server.
bool release_fits() {
  using VersionFunction = std::string();
  void* symbol = dlsym(RTLD_DEFAULT, "_Z14getPDNSVersionB5cxx11v");
  if (symbol == nullptr) return true;
  const std::string running = reinterpret_cast<VersionFunction*>(symbol)();
  if (minor_release(running) == minor_release(kRelease)) return true;
  // Not PowerDNS's logger, whose layout is not known then.
  std::cerr << "ntmobile: this module was built for PowerDNS " << kRelease
            << " and refuses to work inside PowerDNS " << running
            << "; rebuild it for the installed version (scripts/setup)" << std::endl;
  return false;
}

// Without it an UPDATE of our types is FORMERR and they have no name in pdnsutil and logs. The maps
// are filled when the server starts and only read later; modules load in between, on one thread.
void register_types() {
  struct Row {
    std::uint16_t type;
    const char* name;
  };
  for (const Row& row :
       {Row{ntm::wire::kTypeNtmV4, "NTMV4"}, Row{ntm::wire::kTypeNtmV6, "NTMV6"}}) {
    const_cast<std::map<const std::string, std::uint16_t>&>(QType::names)
        .emplace(row.name, row.type);
    const_cast<std::map<std::uint16_t, const std::string>&>(QType::numbers)
        .emplace(row.type, row.name);
    DNSRecordContent::regist(QClass::IN, row.type, nullptr, nullptr, row.name);
  }
}

// Runs when the module is loaded. Not reporting the backend makes the server stop at once with
// "unknown backend", right below our reason.
class Loader {
 public:
  Loader() {
    if (!release_fits()) return;
    register_types();
    BackendMakers().report(new Factory);
    g_log << Logger::Info << "[ntmobile] module for PowerDNS " << kRelease << " loaded" << endl;
  }
};
Loader loader;

}  // namespace
