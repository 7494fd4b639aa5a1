use tonic::server::NamedService;

mod zoo {
    tonic::include_proto!("zoo");
}

struct Barn;

#[tonic::async_trait]
impl zoo::keeper_server::Keeper for Barn {
    async fn feed(
        &self,
        request: tonic::Request<zoo::Animal>,
    ) -> Result<tonic::Response<zoo::Animal>, tonic::Status> {
        Ok(tonic::Response::new(request.into_inner()))
    }
}

fn main() {
    let _server = zoo::keeper_server::KeeperServer::new(Barn);
    println!("service {}", zoo::keeper_server::KeeperServer::<Barn>::NAME);
}
