variable "route" {
  description = "Host name that clients ask for."
  type        = string
}

variable "region" {
  description = "Region in question."
  type        = string
}

variable "nodes" {
  description = "The Lifeboat nodes that are asked, by region."
  type = map(object({
    address = string
    port    = number
  }))
}
