//! The tests of the crate, on a real `MariaDB`.

mod advice;
mod doctor;
mod guard;
mod retiring;
mod trial;
mod view;
mod watch;

use std::{sync::Arc, time::Duration};

use veritas_model::Clock;
use veritas_mysql::{
    session::ConnectOptions,
    view::{MySqlReading, read},
};
use veritas_testkit::{MariaDatabase, VirtualClock};

/// Hangs are cut off here; nothing is measured by it.
const PATIENCE: Duration = Duration::from_mins(1);

const SHOP: &str = "
CREATE TABLE users(id INT PRIMARY KEY AUTO_INCREMENT, email VARCHAR(100) NOT NULL UNIQUE);
CREATE TABLE orders(
    id INT PRIMARY KEY AUTO_INCREMENT, user_id INT NOT NULL, state VARCHAR(10) NOT NULL, total INT NOT NULL,
    FOREIGN KEY by_user (user_id) REFERENCES users(id)
);
CREATE INDEX by_state ON orders(state);
CREATE INDEX by_state_again ON orders(state);
CREATE INDEX by_state_total ON orders(state, total);
CREATE INDEX by_total ON orders(total DESC);
INSERT INTO users(email) SELECT CONCAT('u', seq, '@example.org') FROM seq_1_to_200;
INSERT INTO orders(user_id, state, total) SELECT 1 + seq % 200, IF(seq % 50, 'done', 'open'), seq FROM seq_1_to_5000;
CREATE VIEW open_orders AS SELECT * FROM orders WHERE state = 'open';
ANALYZE TABLE users, orders;";

fn options(database: &MariaDatabase) -> ConnectOptions {
    ConnectOptions::new(database.url())
}

fn look(options: &ConnectOptions) -> MySqlReading {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    read("main", options, &clock)
}
