package client

import (
	"github.com/millrace/millrace/client/internal/session"
)

type consumerConfig struct {
	session session.Config
}
