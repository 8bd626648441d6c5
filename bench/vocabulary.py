"""Words for made-up packages: names as people give them, and what descriptions are made of."""

from __future__ import annotations

PREFIXES = (
    (),
    (),
    (),
    ("ex",),
    ("phoenix",),
    ("plug",),
    ("ecto",),
    ("mix",),
    ("elixir",),
    ("erl",),
)
SUFFIXES = ((), (), (), (), ("ex",), ("client",), ("server",), ("utils",), ("core",), ("ui",))
LICENSES = ("Apache-2.0", "Apache-2.0", "MIT", "MIT", "MIT", "BSD-3-Clause", "MPL-2.0", "ISC")

_NOUNS = (
    "anchor arrow atlas badge basket beacon bell bench bird blaze board bolt bottle bridge brook "
    "bucket cabin cable camera candle canvas carbon castle cedar chain chart cipher circle clock "
    "cloud clover coast comet compass coral cotton crane crystal delta desk diamond dove dragon "
    "drum dune eagle ember engine falcon feather fern field flame flint flute forest forge fox "
    "frost garden gate glacier globe grain granite grove hammer harbor hawk hazel helm heron hill "
    "honey horizon ink iris island ivory jade jasper jet kernel kettle key kite ladder lake lamp "
    "lantern leaf ledger lens lily linen lotus magnet maple marble meadow mesh meteor mill mint "
    "mirror moon moss mountain nest night north oak oasis ocean olive onyx opal orbit orchid otter "
    "owl palm paper pearl pebble pepper phoenix pilot pine planet plume pocket pollen pond poplar "
    "prism pulse quartz quill radar rain raven reef ribbon ridge river robin rocket root rope rose "
    "saffron sail sand sapling satin scroll seed shadow shell shore silk silver sky slate smoke "
    "snow spark spire spring spruce star stone storm stream summit sun swan table teal tempo thread "
    "thunder tide tiger timber torch tower trail tulip tunnel valley vapor velvet vine violet "
    "wagon walnut wave willow wind wing winter wolf wood wren yarn zephyr"
)

_SAYINGS = (
    "a an the for with and of to library toolkit client server wrapper parser adapter plugin "
    "bindings implementation framework simple fast small safe composable typed streaming "
    "distributed concurrent functional declarative configurable extensible lightweight native "
    "Elixir Erlang Phoenix Ecto Plug LiveView GenServer OTP JSON XML YAML HTTP WebSocket gRPC "
    "GraphQL SQL Postgres Redis Kafka queues jobs caching metrics tracing logging testing mocks "
    "validation authentication authorization sessions uploads images emails dates money units "
    "geometry graphs trees parsing rendering formatting compiling releasing deploying monitoring "
    "building reading writing sending receiving encoding decoding signing hashing"
)

NOUNS = tuple(_NOUNS.split())
SAYINGS = tuple(_SAYINGS.split())
