package serve

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

// Control is the handler of the control address: see chserver.Control.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(v)
	}
	id := func(r *http.Request) int {
		n, _ := strconv.Atoi(r.PathValue("id")) // 0 is no fault
		return n
	}
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		var f chserver.Fault
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&f); err != nil {
			answer(w, nil, err)
			return
		}
		n, err := s.faults.add(f)
		answer(w, n, err)
	})
	mux.HandleFunc("GET /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		state, err := s.faults.state(id(r))
		answer(w, state, err)
	})
	mux.HandleFunc("POST /faults/{id}/release", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, s.faults.release(id(r)))
	})
	mux.HandleFunc("DELETE /faults/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, s.faults.remove(id(r)))
	})
	mux.HandleFunc("POST /query", func(w http.ResponseWriter, r *http.Request) {
		var sql string
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&sql); err != nil {
			answer(w, nil, err)
			return
		}
		text, err := s.admin(sql)
		answer(w, text, err)
	})
	return mux
}

// admin runs a statement in a session of its own.
func (s *Server) admin(sql string) (answer string, err error) {
	conn, err := s.engine.Connect()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, err = conn.Query(sql, "TabSeparated", nil, func(data []byte) error {
		answer = string(data)
		return nil
	})
	return answer, err
}
