// `ntm join` as one step: all or nothing. A token can turn out to be used up only after keys and an
// identity were made for it; `ntm join --again` must not have replaced a working name by then. So
// everything is made and tried in a folder of its own, STATE/joining, and moved at the end.
#pragma once

#include "terminal/identity.hpp"

namespace ntm::terminal {

// Where the identity to be is; `ntm-terminal --enrol` is run on it.
Folders joining_folders(const Folders& folders);

// As create_identity(), there.
Result<Identity> begin_join(const Folders& folders, const std::string& token, bool again,
                            Random& random);
// The new identity becomes this terminal's, with a commented configuration if there is none.
Result<void> finish_join(const Folders& folders);
// Nothing of it stays.
void drop_join(const Folders& folders);

}  // namespace ntm::terminal
