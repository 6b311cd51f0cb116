// The commands of ntm-labwire and the way of a frame from one interface to the other.
#include "tests/netns/wire/switchboard.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

namespace ntm::lab {
namespace {

std::optional<std::pair<double, std::string>> number_and_unit(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  std::from_chars_result parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || value < 0) return std::nullopt;
  return std::pair<double, std::string>{value, std::string(parsed.ptr, end)};
}

std::optional<double> scaled(const std::string& text,
                             const std::vector<std::pair<std::string, double>>& units) {
  std::optional<std::pair<double, std::string>> parsed = number_and_unit(text);
  if (!parsed) return std::nullopt;
  for (const std::pair<std::string, double>& unit : units)
    if (unit.first == parsed->second) return parsed->first * unit.second;
  if (parsed->first == 0 && parsed->second.empty()) return 0;
  return std::nullopt;
}

std::optional<Nanoseconds> duration(const std::string& text) {
  std::optional<double> value = scaled(text, {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}});
  if (!value) return std::nullopt;
  return static_cast<Nanoseconds>(*value);
}

std::optional<double> rate(const std::string& text) {
  return scaled(text, {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}});
}

bool set_duration(Nanoseconds& field, const std::string& value) {
  std::optional<Nanoseconds> parsed = duration(value);
  if (parsed) field = *parsed;
  return parsed.has_value();
}

bool set_probability(double& field, const std::string& value) {
  std::optional<double> parsed = scaled(value, {{"", 1}, {"%", 0.01}});
  if (!parsed || *parsed > 1) return false;
  field = *parsed;
  return true;
}

bool apply(Settings& s, const std::string& key, const std::string& value) {
  if (key == "delay") return set_duration(s.delay, value);
  if (key == "jitter") return set_duration(s.jitter, value);
  if (key == "reorder_by") return set_duration(s.reorder_by, value);
  if (key == "loss") return set_probability(s.loss, value);
  if (key == "duplicate") return set_probability(s.duplicate, value);
  if (key == "corrupt") return set_probability(s.corrupt, value);
  if (key == "reorder") return set_probability(s.reorder, value);
  if (key == "cut") {
    s.cut = value == "1";
    return value == "0" || value == "1";
  }
  std::optional<double> number = key == "rate" ? rate(value) : scaled(value, {{"", 1}});
  if (!number) return false;
  if (key == "rate") s.rate = static_cast<std::uint64_t>(*number);
  if (key == "queue") s.queue_bytes = static_cast<std::size_t>(*number);
  return key == "rate" || key == "queue";
}

void write_counters(std::ostream& out, const char* direction, const Shaper& shaper) {
  const Counters& c = shaper.counters;
  out << '"' << direction << "\":{\"frames\":" << c.frames << ",\"bytes\":" << c.bytes
      << ",\"delivered\":" << c.delivered << ",\"lost\":" << c.lost << ",\"cut\":" << c.cut
      << ",\"queue_drops\":" << c.queue_drops << ",\"duplicated\":" << c.duplicated
      << ",\"reordered\":" << c.reordered << ",\"corrupted\":" << c.corrupted
      << ",\"send_errors\":" << c.send_errors << ",\"waiting\":" << shaper.waiting() << '}';
}

}  // namespace

std::string Switchboard::command(const std::string& line) {
  std::istringstream in(line);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  if (words.empty()) return "error: empty command";
  const std::string& verb = words[0];
  if (verb == "link") return add_link(words);
  if (verb == "unlink") return remove_link(words);
  if (verb == "set") return set(words);
  if (verb == "pair") return set_pair(words);
  if (verb == "seed") return reseed(words);
  if (verb == "stats") return stats();
  if (verb == "pair-clear") {
    pairs_.clear();
    return "ok";
  }
  return "error: unknown command " + verb;
}

std::string Switchboard::add_link(const Words& words) {
  if (words.size() != 4) return "error: link NAME IF_A IF_B";
  if (links_.contains(words[1])) return "error: link " + words[1] + " exists";
  std::string error;
  std::unique_ptr<Link> link =
      std::make_unique<Link>(words[2], words[3], seed_ + links_.size(), error);
  if (!error.empty()) return "error: " + error;
  for (int fd : {link->a.fd(), link->b.fd()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return "error: epoll refuses the socket";
    by_fd_[fd] = link.get();
  }
  links_[words[1]] = std::move(link);
  return "ok";
}

std::string Switchboard::remove_link(const Words& words) {
  if (words.size() != 2 || !links_.contains(words[1])) return "error: unlink NAME of a link";
  Link& link = *links_[words[1]];
  by_fd_.erase(link.a.fd());
  by_fd_.erase(link.b.fd());
  links_.erase(words[1]);  // closing the sockets takes them out of epoll
  return "ok";
}

std::string Switchboard::set(const Words& words) {
  if (words.size() < 4 || !links_.contains(words[1]))
    return "error: set NAME ab|ba|both KEY=VALUE… of an existing link";
  const std::string& direction = words[2];
  if (direction != "ab" && direction != "ba" && direction != "both")
    return "error: the direction is ab, ba or both";
  Link& link = *links_[words[1]];
  Settings ab = link.ab.settings;
  Settings ba = link.ba.settings;
  for (std::size_t i = 3; i < words.size(); ++i) {
    std::size_t equals = words[i].find('=');
    if (equals == std::string::npos) return "error: " + words[i] + " is not KEY=VALUE";
    std::string key = words[i].substr(0, equals);
    std::string value = words[i].substr(equals + 1);
    if (direction != "ba" && !apply(ab, key, value)) return "error: bad setting " + words[i];
    if (direction != "ab" && !apply(ba, key, value)) return "error: bad setting " + words[i];
  }
  link.ab.settings = ab;
  link.ba.settings = ba;
  // A cable that is pulled loses what is on it.
  if (ab.cut) link.ab.drop_waiting();
  if (ba.cut) link.ba.drop_waiting();
  return "ok";
}

std::string Switchboard::set_pair(const Words& words) {
  if (words.size() != 4) return "error: pair FROM/LEN TO/LEN DELAY";
  std::optional<IpPrefix> from = IpPrefix::parse(words[1]);
  std::optional<IpPrefix> to = IpPrefix::parse(words[2]);
  std::optional<Nanoseconds> delay = duration(words[3]);
  if (!from || !to || !delay || from->is_v6 != to->is_v6)
    return "error: pair takes two prefixes of one family and a delay like 12.5ms";
  pairs_.set(*from, *to, *delay);
  return "ok";
}

std::string Switchboard::reseed(const Words& words) {
  std::uint64_t value = 0;
  if (words.size() != 2) return "error: seed NUMBER";
  const std::string& text = words[1];
  std::from_chars_result parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size())
    return "error: seed NUMBER";
  seed_ = value;
  std::uint64_t next = value;
  for (std::pair<const std::string, std::unique_ptr<Link>>& entry : links_) {
    entry.second->ab.seed(next * 2);
    entry.second->ba.seed(next * 2 + 1);
    ++next;
  }
  return "ok";
}

std::string Switchboard::stats() const {
  std::ostringstream out;
  out << '{';
  bool first = true;
  for (const std::pair<const std::string, std::unique_ptr<Link>>& entry : links_) {
    if (!first) out << ',';
    first = false;
    out << '"' << entry.first << "\":{";
    write_counters(out, "ab", entry.second->ab);
    out << ',';
    write_counters(out, "ba", entry.second->ba);
    out << '}';
  }
  out << '}';
  return out.str();
}

std::size_t Switchboard::receive(int fd, Nanoseconds now) {
  std::map<int, Link*>::iterator found = by_fd_.find(fd);
  if (found == by_fd_.end()) return 0;
  Link& link = *found->second;
  bool from_a = fd == link.a.fd();
  Shaper& shaper = from_a ? link.ab : link.ba;
  // One batch a turn: the loop comes back at once, and other links and due frames get their turn.
  received_.clear();
  batch_.read(fd, now, received_);
  for (Received& received : received_) {
    Nanoseconds path_delay = from_a ? pairs_.delay_of(received.frame) : 0;
    shaper.offer(received.arrival, path_delay, std::move(received.frame));
  }
  return received_.size();
}

void Switchboard::deliver(Shaper& shaper, Port& out, Nanoseconds now) {
  std::vector<Frame> due;
  while (std::optional<Frame> frame = shaper.take(now)) due.push_back(std::move(*frame));
  if (!due.empty()) shaper.counters.send_errors += out.send(due);
}

void Switchboard::deliver(Nanoseconds now) {
  for (std::pair<const std::string, std::unique_ptr<Link>>& entry : links_) {
    deliver(entry.second->ab, entry.second->b, now);
    deliver(entry.second->ba, entry.second->a, now);
  }
}

std::optional<Nanoseconds> Switchboard::next_due() const {
  std::optional<Nanoseconds> first;
  for (const std::pair<const std::string, std::unique_ptr<Link>>& entry : links_) {
    for (const Shaper* shaper : {&entry.second->ab, &entry.second->ba}) {
      std::optional<Nanoseconds> due = shaper->next_due();
      if (due && (!first || *due < *first)) first = due;
    }
  }
  return first;
}

}  // namespace ntm::lab
