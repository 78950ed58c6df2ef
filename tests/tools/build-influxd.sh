#!/bin/sh
# Builds InfluxDB 2.7.12 (MIT) from the Go module proxy and crates: tests/tools/build-influxd.sh FOLDER
# puts FOLDER/influxd there. Needs go 1.24+, cargo, a C compiler and pkg-config; some minutes, once.
set -eu

version=v2.7.12
folder=$1
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# The replace is the one of InfluxDB's own go.mod, which a requiring module has to repeat.
cat > go.mod <<EOF
module influxd
go 1.24
require github.com/influxdata/influxdb/v2 $version
replace github.com/nats-io/nats-streaming-server v0.11.2 => github.com/influxdata/nats-streaming-server v0.11.3-0.20201112040610-c277f7560803
EOF
cat > tools.go <<'EOF'
//go:build tools

package tools

import _ "github.com/influxdata/influxdb/v2/cmd/influxd"
EOF

# InfluxData's pkg-config builds the Flux library with cargo; newer compilers deny what its code only deserves
# a warning for.
cat > rustc-wrapper <<'EOF'
#!/bin/sh
rustc=$1
shift
exec "$rustc" "$@" --cap-lints warn
EOF
chmod +x rustc-wrapper
GOFLAGS=-mod=mod GOBIN="$work/bin" go install github.com/influxdata/pkg-config@v0.2.14

export GOFLAGS=-mod=mod
export PATH="$work/bin:$PATH"
export PKG_CONFIG="$work/bin/pkg-config"
export RUSTUP_TOOLCHAIN=stable
export RUSTC_WRAPPER="$work/rustc-wrapper"
go build -o influxd github.com/influxdata/influxdb/v2/cmd/influxd
mv influxd "$folder/influxd"
