// `ntm-terminal --enrol`: the first registration, made by `ntm join` so that a wrong or used token
// is told at once. Registers with the token, takes the answer, leaves again; the daemon registers
// anew with its own port when it starts.
#pragma once

#include "terminal/identity.hpp"

namespace ntm::terminal {

// Unavailable: the DC does not answer (the daemon will enrol later); Denied: it refuses.
Result<void> enrol(const Folders& folders, Random& random);

}  // namespace ntm::terminal
