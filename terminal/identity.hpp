// Who this terminal is: its key, its name, its DC. Made by `ntm join` from an enrolment token,
// read by the daemon.
//
//   STATE/terminal.key    32 bytes, 0600: the X25519 secret, made here, never leaves
//   STATE/reset.key       32 bytes, 0600: K_reset
//   STATE/identity.json   0600: name, zone, DC's key and addresses, and until the terminal is
//                         enrolled the token
#pragma once

#include <optional>
#include <string>

#include "libntm/base/random.hpp"
#include "libntm/base/secret.hpp"
#include "libntm/crypto/x25519.hpp"
#include "libntm/wire/token.hpp"
#include "terminal/configuration.hpp"

namespace ntm::terminal {

struct Identity {
  Name name;
  Name zone;
  PublicKey dc_key;
  std::vector<Endpoint> dc_endpoints;
  std::optional<wire::EnrolmentToken> token;
  crypto::KeyPair key;
  Key32 reset_secret;
};

// NotFound: never joined, with what to do.
Result<Identity> load_identity(const Folders& folders);

// Invalid: no token; Conflict: the terminal has joined already, and not `again`.
Result<void> may_join(const Folders& folders, const std::string& token, bool again);
// Nothing when there is one.
Result<void> write_first_configuration(const Folders& folders);
// Writes key, identity and, if there is none, a commented configuration. Conflict when the terminal
// has joined already, unless `again`; the key is kept only when the name stays.
Result<Identity> create_identity(const Folders& folders, const std::string& token, bool again,
                                 Random& random);
// The token is used up: forget it.
Result<void> forget_token(const Folders& folders);

}  // namespace ntm::terminal
