// Package ratelimit limits how much is done in which time, exactly and across processes, with one Redis script a decision.
package ratelimit
