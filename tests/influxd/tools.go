//go:build tools

// Package influxd names what build.sh builds, so that go.mod and go.sum pin it: InfluxDB 2 and the wrapper of
// pkg-config that builds the Rust library in it.
package influxd

import (
	_ "github.com/influxdata/influxdb/v2/cmd/influxd"
	_ "github.com/influxdata/pkg-config"
)
