// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where metrics are fetched: `GET /metrics` on an address of the loopback interface.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// More who ask at once wait.
const MOST_CONNECTIONS: usize = 8;
/// Who says nothing for so long is hung up on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the address.
///
/// # Errors
///
/// Another program has it.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("metrics: {address}"))
}

/// Answers for ever with what `text` says at that moment.
pub async fn serve<F>(listener: TcpListener, text: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = String> + Send + 'static,
{
    let text = Arc::new(text);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left, perhaps.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let text = text.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, text.clone()));
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE);
            let connection = server.serve_connection(TokioIo::new(stream), service);
            // Who hangs up early is not worth a message.
            let _ = tokio::time::timeout(3 * PATIENCE, connection).await;
            drop(place);
        });
    }
}

async fn answer<F>(
    request: Request<Incoming>,
    text: Arc<impl Fn() -> F>,
) -> Result<Response<Full<Bytes>>, Infallible>
where
    F: Future<Output = String>,
{
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, text().await),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, "see /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    );
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
