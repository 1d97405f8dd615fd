package counter

import "github.com/freshet-go/freshet/internal/redistest"

var killedRole = redistest.Role{Env: "FRESHET_COUNTER_KILLED", Run: func(string) {}}
