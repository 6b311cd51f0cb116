// One line of a test's script -> one store operation.
//
//   zone ID APEX [kind=native|primary|secondary] [terminals=no] [publish=outside]
//        [policy=tofu|dnssec|closed] [dc=ADDRESS:PORT]… [key=HEX] [serial=N]
//   record ZONE NAME TYPE TTL RDATA-HEX…        the whole RRset; no data deletes it
//   disabled ZONE NAME TYPE TTL RDATA-HEX…      the same, but not shown
//   terminal ID ZONE NAME V4|- V6|- KEY-HEX|-
//   gone ID                                     deletes the terminal
//   location ID COUNTER [v4=ADDRESS:PORT] [out4=…] [nat4] [v6=…] [out6=…] [nat6] [private]
//   offline ID COUNTER
//   bump ZONE
#pragma once

#include <string>

#include "libntm/store/store.hpp"

namespace ntm::storefixture {

Result<store::Operation> parse_command(const std::string& line);

}  // namespace ntm::storefixture
